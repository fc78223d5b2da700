// Package schema holds the source of the option schema, for the plugin's export
// command. It lies above the generated package of the schema, so that programs
// that link their events do not link the source too.
package schema

import _ "embed"

// Path is the import path of the schema: where a .proto file finds it.
const Path = "micro/event/v1/options.proto"

//go:embed micro/event/v1/options.proto
var options []byte

// Options returns the source of the schema. The caller must not change it.
func Options() []byte { return options }
