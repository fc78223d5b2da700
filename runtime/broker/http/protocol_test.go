package httpbroker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/micro-event/micro-event/runtime/broker"
)

// vectors returns the lines of a fenced block of docs/protocol.md, split at "|".
func vectors(t *testing.T, block string) [][]string {
	t.Helper()
	doc, err := os.ReadFile("../../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "```"+block+"\n")
	text, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatalf("docs/protocol.md has no block %q", block)
	}
	var lines [][]string
	for line := range strings.Lines(text) {
		var cells []string
		for cell := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		lines = append(lines, cells)
	}
	if len(lines) == 0 {
		t.Fatalf("block %q of docs/protocol.md is empty", block)
	}
	return lines
}

// frames are the frames of the document, by name.
var frames = map[string]frame{
	"one message": {
		topic: "shop.orders.created", queue: "billing", instance: "m1",
		messages: []message{{id: "1", record: broker.Record{
			Key: "42", Header: []broker.Field{{Name: "Tenant", Value: "é"}}, Body: []byte("hi"),
		}}},
	},
	"two messages, accepted": {
		topic: "t", queue: "q", level: Accepted,
		messages: []message{
			{record: broker.Record{
				Header: []broker.Field{{Name: "ce-id", Value: "a"}, {Name: "ce-source", Value: "s"}}, Body: []byte{0},
			}},
			{id: "2"},
		},
	},
	"broadcast": {topic: "t", instance: "m2", messages: []message{{id: "3", record: broker.Record{Body: []byte("x")}}}},
}

func encodeFrame(f *frame) []byte {
	b := appendFrameHead(nil, f)
	for i := range f.messages {
		b = appendMessage(b, f.messages[i].id, &f.messages[i].record)
	}
	return b
}

func TestFrameVectors(t *testing.T) {
	seen := 0
	for _, v := range vectors(t, "frames") {
		want, ok := frames[v[0]]
		if !ok {
			t.Errorf("no frame is called %q", v[0])
			continue
		}
		seen++
		if got := hex.EncodeToString(encodeFrame(&want)); got != v[1] {
			t.Errorf("%s: encoded:\n got %s\nwant %s", v[0], got, v[1])
		}
		b, err := hex.DecodeString(v[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseFrame(b)
		if err != nil {
			t.Errorf("%s: %v", v[0], err)
			continue
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: parsed:\n got %+v\nwant %+v", v[0], *got, want)
		}
	}
	if seen != len(frames) {
		t.Errorf("vectors: got %d, want %d", seen, len(frames))
	}
}

func TestMalformedFrameVectors(t *testing.T) {
	for _, v := range vectors(t, "malformed") {
		b, err := hex.DecodeString(v[1])
		if err != nil {
			t.Fatal(err)
		}
		if f, err := parseFrame(b); err == nil {
			t.Errorf("%s: got %+v, want an error", v[0], f)
		}
	}
}

// TestRequestVectors: what a publisher sends on a connection that has changed, and how
// a member reads it.
func TestRequestVectors(t *testing.T) {
	for _, v := range vectors(t, "requests") {
		frame, err := hex.DecodeString(v[1])
		if err != nil {
			t.Fatal(err)
		}
		o := &options{}
		token, withToken := strings.CutPrefix(v[0], "Authorization: Bearer ")
		if withToken {
			o.bearer = &bearer{token: func(context.Context) (string, error) { return token, nil }}
		}
		f := &flight{endpoint: &endpoint{publisher: &publisher{options: o}}, buffer: append(make([]byte, prefixRoom), frame...)}
		got, _, err := f.inFrames(t.Context())
		if err != nil || hex.EncodeToString(got) != v[2] {
			t.Errorf("%s: encoded: got %x, %v, want %s", v[0], got, err, v[2])
		}
		d := NewDriver()
		d.options.bearer = o.bearer
		st := &stream{server: d.server, reader: bufio.NewReader(bytes.NewReader(got))}
		h, bad, err := st.head()
		if bad != nil || err != nil || withToken != (h.Get("Authorization") == "Bearer "+token) || !isWhole(got) || isWhole(got[:len(got)-1]) {
			t.Errorf("%s: read %v, %v, %v", v[0], h, bad, err)
		}
		if size, err := binary.ReadUvarint(st.reader); int(size) != len(frame) || st.reader.Buffered() != len(frame) || err != nil {
			t.Errorf("%s: a frame of %d bytes, %v, want %d", v[0], size, err, len(frame))
		}
	}
}

func TestRefusalVectors(t *testing.T) {
	for _, v := range vectors(t, "refusals") {
		code, err := strconv.Atoi(v[0])
		if err != nil {
			t.Fatal(err)
		}
		want := result{status: code, reason: v[1], whole: true}
		b := appendResult(nil, want)
		if got := hex.EncodeToString(b); got != v[2] {
			t.Errorf("%+v: encoded: got %s, want %s", want, got, v[2])
		}
		if got, n, err := cutResult(b); got != want || n != len(b) || err != nil {
			t.Errorf("%x: got %+v, %d, %v, want %+v", b, got, n, err, want)
		}
	}
}

func TestResultVectors(t *testing.T) {
	for _, v := range vectors(t, "results") {
		index, err := strconv.Atoi(v[0])
		if err != nil {
			t.Fatal(err)
		}
		status, err := strconv.Atoi(v[1])
		if err != nil {
			t.Fatal(err)
		}
		want := result{index: index, status: status, reason: v[2]}
		if got := hex.EncodeToString(appendResult(nil, want)); got != v[3] {
			t.Errorf("%+v: encoded: got %s, want %s", want, got, v[3])
		}
		b, err := hex.DecodeString(v[3])
		if err != nil {
			t.Fatal(err)
		}
		for cut := range b {
			if r, n, err := cutResult(b[:cut]); n != 0 || err != nil {
				t.Errorf("the first %d bytes of %s: got %+v, %d, %v, want nothing yet", cut, v[3], r, n, err)
			}
		}
		if got, n, err := cutResult(append(b, 7)); got != want || n != len(b) || err != nil {
			t.Errorf("%s: got %+v, %d, %v, want %+v, %d", v[3], got, n, err, want, len(b))
		}
	}
}

func TestRankVectors(t *testing.T) {
	for _, v := range vectors(t, "ranks") {
		if got := fmt.Sprintf("%016x", rank(v[0], v[1])); got != v[2] {
			t.Errorf("rank(%q, %q): got %s, want %s", v[0], v[1], got, v[2])
		}
	}
}

// TestCodecAgreesWithProtobuf compares the hand-written codec with the protobuf
// runtime, which has the schema of docs/protocol.md as a descriptor.
func TestCodecAgreesWithProtobuf(t *testing.T) {
	schema := frameSchema(t)
	for name, f := range frames {
		m := dynamicpb.NewMessage(schema.Messages().ByName("Frame"))
		b := encodeFrame(&f)
		if err := (proto.UnmarshalOptions{DiscardUnknown: false}).Unmarshal(b, m); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(m.GetUnknown()) > 0 {
			t.Errorf("%s: unknown fields %x", name, m.GetUnknown())
		}
		theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(theirs, b) {
			t.Errorf("%s: the protobuf runtime encodes it as\n%x, we as\n%x", name, theirs, b)
		}
	}
}

func frameSchema(t *testing.T) protoreflect.FileDescriptor {
	t.Helper()
	field := func(name string, n int32, typ descriptorpb.FieldDescriptorProto_Type, typeName string, repeated bool) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &n, Type: &typ}
		label := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
		if repeated {
			label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED
		}
		f.Label = &label
		if typeName != "" {
			f.TypeName = &typeName
		}
		return f
	}
	const (
		str = descriptorpb.FieldDescriptorProto_TYPE_STRING
		raw = descriptorpb.FieldDescriptorProto_TYPE_BYTES
		u32 = descriptorpb.FieldDescriptorProto_TYPE_UINT32
		msg = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("frame.proto"), Package: proto.String("p"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Frame"), Field: []*descriptorpb.FieldDescriptorProto{
				field("topic", 1, str, "", false), field("queue", 2, str, "", false), field("instance", 3, str, "", false),
				field("level", 4, u32, "", false), field("messages", 5, msg, ".p.Message", true),
			}},
			{Name: proto.String("Message"), Field: []*descriptorpb.FieldDescriptorProto{
				field("id", 1, str, "", false), field("key", 2, str, "", false),
				field("header", 3, msg, ".p.Header", true), field("body", 4, raw, "", false),
			}},
			{Name: proto.String("Header"), Field: []*descriptorpb.FieldDescriptorProto{
				field("name", 1, str, "", false), field("value", 2, str, "", false),
			}},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
