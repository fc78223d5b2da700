package event

import (
	"fmt"
	"mime"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Codec is how the body of an event is written. Its value is the content type.
// A client writes one, [Protobuf] by default; a server reads both.
type Codec string

const (
	// Protobuf is protobuf's binary format.
	Protobuf Codec = "application/protobuf"

	// JSON is protobuf's JSON mapping, for receivers that do not know protobuf.
	// When it is read, fields that the receiver does not know are skipped, as in
	// the binary format.
	JSON Codec = "application/json"
)

// codecOf returns the codec of a content type, whose parameters are ignored.
func codecOf(contentType string) (Codec, error) {
	if c := Codec(contentType); c.known() {
		return c, nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", &CodecError{contentType, fmt.Errorf("content type %q: %w", contentType, err)}
	}
	if c := Codec(media); c.known() {
		return c, nil
	}
	return "", unknownCodec(contentType)
}

func (c Codec) known() bool { return c == Protobuf || c == JSON }

func unknownCodec(contentType string) error {
	return &CodecError{contentType, fmt.Errorf("unknown content type %q (known are %s and %s)", contentType, Protobuf, JSON)}
}

// appendBody appends the body of m to b.
func (c Codec) appendBody(b []byte, m proto.Message) ([]byte, error) {
	var err error
	switch c {
	case Protobuf:
		b, err = proto.MarshalOptions{}.MarshalAppend(b, m)
	case JSON:
		b, err = protojson.MarshalOptions{}.MarshalAppend(b, m)
	default:
		return b, unknownCodec(string(c))
	}
	if err != nil {
		return b, &CodecError{string(c), fmt.Errorf("encode %s: %w", c, err)}
	}
	return b, nil
}

// readBody sets m, which must be empty, to what the body says. M shares no memory
// with it.
func (c Codec) readBody(body []byte, m proto.Message) error {
	var err error
	switch c {
	case Protobuf:
		err = proto.UnmarshalOptions{Merge: true}.Unmarshal(body, m) // to empty it again takes a tenth of the time
	case JSON:
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(body, m)
	default:
		return unknownCodec(string(c))
	}
	if err != nil {
		return &CodecError{string(c), fmt.Errorf("decode %s as %s: %w", c, m.ProtoReflect().Descriptor().FullName(), err)}
	}
	return nil
}
