// Package gen generates the event code of protobuf messages that carry the
// option (micro.event.v1.event). It reads a request of the plugin protocol,
// checks every event, and writes either all files or all problems.
package gen

import (
	"fmt"
	"io"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// Run answers the request of the plugin protocol that it reads from r. Mistakes
// in the schema are part of the response; an error means that there is none.
func Run(r io.Reader, w io.Writer) error {
	in, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read request: %w", err)
	}
	req := &pluginpb.CodeGeneratorRequest{}
	if err := proto.Unmarshal(in, req); err != nil {
		return fmt.Errorf("read request: %w (this program is run by buf or protoc: see --help)", err)
	}
	out, err := proto.Marshal(Respond(req))
	if err != nil {
		return fmt.Errorf("write response: %w", err)
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("write response: %w", err)
	}
	return nil
}

// Respond generates what req asks for.
func Respond(req *pluginpb.CodeGeneratorRequest) *pluginpb.CodeGeneratorResponse {
	var params parameters
	plugin, err := protogen.Options{ParamFunc: params.set}.New(req)
	if err != nil {
		plugin = &protogen.Plugin{}
		plugin.Error(err)
	} else if err := generate(plugin, params); err != nil {
		plugin.Error(err)
	}
	plugin.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL |
		pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS)
	plugin.SupportedEditionsMinimum = descriptorpb.Edition_EDITION_PROTO2
	plugin.SupportedEditionsMaximum = descriptorpb.Edition_EDITION_2024
	resp := plugin.Response()
	for _, f := range resp.File {
		f.Name = proto.String(f.GetName() + goExtension)
	}
	return resp
}
