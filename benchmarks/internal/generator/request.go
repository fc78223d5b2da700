package generator

import (
	"context"
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
)

// perFile is how many messages a file has at most.
const perFile = 100

// request returns one for messages events, and how many files it is to generate.
func request(ctx context.Context, messages int) (encoded []byte, files int, err error) {
	sources := map[string]string{}
	var names []string
	for first := 0; first < messages; first += perFile {
		name := fmt.Sprintf("shop/p%d/events.proto", len(names))
		sources[name] = source(len(names), first, min(perFile, messages-first))
		names = append(names, name)
	}
	resolver := protocompile.ResolverFunc(func(name string) (protocompile.SearchResult, error) {
		if text, ok := sources[name]; ok {
			return protocompile.SearchResult{Source: strings.NewReader(text)}, nil
		}
		if name == eventv1.File_micro_event_v1_options_proto.Path() {
			return protocompile.SearchResult{Desc: eventv1.File_micro_event_v1_options_proto}, nil
		}
		return protocompile.SearchResult{Desc: descriptorpb.File_google_protobuf_descriptor_proto}, nil
	})
	compiler := protocompile.Compiler{Resolver: resolver, SourceInfoMode: protocompile.SourceInfoStandard}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, 0, err
	}
	r := &pluginpb.CodeGeneratorRequest{FileToGenerate: names, Parameter: proto.String("paths=source_relative")}
	for _, file := range []protoreflect.FileDescriptor{descriptorpb.File_google_protobuf_descriptor_proto, eventv1.File_micro_event_v1_options_proto} {
		r.ProtoFile = append(r.ProtoFile, protodesc.ToFileDescriptorProto(file))
	}
	for _, file := range compiled { // with its comments
		r.ProtoFile = append(r.ProtoFile, protoutil.ProtoFromFileDescriptor(file))
	}
	encoded, err = proto.Marshal(r)
	return encoded, len(names), err
}

// source is a file of n events, from the first on, and a service for the plugins that
// generate code for services only.
func source(file, first, n int) string {
	var events, methods strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&events, `
// Event%[1]d is published when order %[1]d has been placed.
//
// Events of one order are in order.
message Event%[1]d {
  option (micro.event.v1.event) = {
    topic: "shop.event%[1]d"
    key: "order_id"
    headers: { name: "tenant" field: "tenant_id" }
  };
  // Given once, never reused.
  string order_id = 1;
  // The shop that the order belongs to.
  string tenant_id = 2;
  // In the smallest unit of the currency.
  int64 amount = 3;
  // Free labels.
  repeated string labels = 4;
}
`, i)
		fmt.Fprintf(&methods, "  // Send%[1]d sends one.\n  rpc Send%[1]d(Event%[1]d) returns (Event%[1]d);\n", i)
	}
	return fmt.Sprintf(`syntax = "proto3";
package shop.p%[1]d;
import "micro/event/v1/options.proto";
option go_package = "shop.example/p%[1]d;p%[1]d";
%[2]s
// Events sends them.
service Events {
%[3]s}
`, file, &events, &methods)
}
