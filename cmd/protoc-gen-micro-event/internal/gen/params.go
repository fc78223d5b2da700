package gen

import (
	"fmt"
	"go/token"
)

// ParametersHelp describes the parameters of the plugin.
const ParametersHelp = `  paths=source_relative        write beside the .proto file's path (default: import)
  module=PREFIX                strip PREFIX from the paths of paths=import
  package_suffix=SUFFIX        generate into packages of their own, named after the
                               message's package with SUFFIX appended
                               (default: the package of the messages)
  MFILE=IMPORT_PATH            the Go import path of a .proto file
  default_api_level=LEVEL      API_OPEN, API_HYBRID or API_OPAQUE: as for protoc-gen-go
  apilevelMFILE=LEVEL          the same for one file
`

const knownParameters = "paths, module, package_suffix, M<file>, default_api_level, apilevelM<file>, annotate_code"

// parameters are the plugin's own, beside those of protogen.
type parameters struct {
	packageSuffix string
}

// set is called by protogen with each parameter that it does not know.
func (p *parameters) set(name, value string) error {
	if name != "package_suffix" {
		return fmt.Errorf("unknown parameter %q (known are %s)", name, knownParameters)
	}
	if value != "" && !token.IsIdentifier("x"+value) {
		return fmt.Errorf("parameter package_suffix: %q cannot end the name of a Go package (use letters, digits and _)", value)
	}
	p.packageSuffix = value
	return nil
}
