package gen_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/micro-event/micro-event/cmd/protoc-gen-micro-event/internal/gen"
)

// eventsRequest returns a request for a file with n events, each with a key, a
// header and a comment, under the given parameter.
func eventsRequest(t testing.TB, n int, parameter string) *pluginpb.CodeGeneratorRequest {
	var source strings.Builder
	source.WriteString(`syntax = "proto3";
package test.v1;
import "micro/event/v1/options.proto";
option go_package = "example.com/test/v1;testv1";
`)
	for i := range n {
		fmt.Fprintf(&source, `
// Event %d says that something happened.
message Event%d {
  option (micro.event.v1.event) = { topic: "test.event.%d" key: "id" headers: { name: "tenant" field: "tenant_id" } };
  string id = 1;
  string tenant_id = 2;
  int64 amount = 3;
}
`, i, i, i)
	}
	return &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{"events.proto"},
		ProtoFile:      compile(t, map[string]string{"events.proto": source.String()}),
		Parameter:      proto.String(parameter),
	}
}

// TestLinesOfCode: generated code stays small enough to read. Without its key
// and header an event takes 14 lines, with one of them 15.
func TestLinesOfCode(t *testing.T) {
	one := codeLines(gen.Respond(eventsRequest(t, 1, "")).File[0].GetContent())
	two := codeLines(gen.Respond(eventsRequest(t, 2, "")).File[0].GetContent())
	if one > 30 || two-one > 19 {
		t.Errorf("got %d lines for one event and %d for the next, want at most 30 and 19", one, two-one)
	}
}

// TestResponseDeclaresWhatIsSupported: without it buf and protoc refuse proto3
// optional fields and editions, also when there is an error to report.
func TestResponseDeclaresWhatIsSupported(t *testing.T) {
	for _, parameter := range []string{"", "unknown=1"} {
		resp := gen.Respond(eventsRequest(t, 1, parameter))
		if got := resp.GetSupportedFeatures(); got != 3 {
			t.Errorf("parameter %q: got features %b, want 11", parameter, got)
		}
		least, most := descriptorpb.Edition(resp.GetMinimumEdition()), descriptorpb.Edition(resp.GetMaximumEdition())
		if least != descriptorpb.Edition_EDITION_PROTO2 || most != descriptorpb.Edition_EDITION_2024 {
			t.Errorf("parameter %q: got editions %v to %v, want PROTO2 to 2024", parameter, least, most)
		}
	}
}

// TestFileNames: generated files lie where those of protoc-gen-go do.
func TestFileNames(t *testing.T) {
	for parameter, want := range map[string]string{
		"":                                       "example.com/test/v1/events.event.go",
		"paths=source_relative":                  "events.event.go",
		"module=example.com/test":                "v1/events.event.go",
		"package_suffix=x":                       "example.com/test/v1/testv1x/events.event.go",
		"module=example.com,package_suffix=":     "test/v1/events.event.go",
		"paths=source_relative,package_suffix=x": "testv1x/events.event.go",
		"Mevents.proto=example.com/other;o":      "example.com/other/events.event.go",
	} {
		resp := gen.Respond(eventsRequest(t, 1, parameter))
		if len(resp.File) != 1 || resp.File[0].GetName() != want {
			t.Errorf("parameter %q: got %v, want %s", parameter, resp, want)
		}
	}
}

// TestPositionsMayBeMissing: a request without them gets problems that name the
// file.
func TestPositionsMayBeMissing(t *testing.T) {
	req := readCase(t, "testdata/errors/topic.txtar").request(t)
	for _, f := range req.ProtoFile {
		f.SourceCodeInfo = nil
	}
	const want = "test/v1/topic.proto: LeadingDot: topic "
	if got := gen.Respond(req).GetError(); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q first", got, want)
	}
}

func BenchmarkRespond(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			req := eventsRequest(b, n, "")
			b.ReportAllocs()
			for b.Loop() {
				if resp := gen.Respond(req); resp.Error != nil {
					b.Fatal(resp.GetError())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}
