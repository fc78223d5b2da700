package event

import (
	"encoding/binary"
	"mime"
	"strings"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Headers by which go-micro's clients and servers know an event. Its servers read
// them in exactly this spelling.
const (
	microContentType = "Content-Type"
	microTopic       = "Micro-Topic"
	microID          = "Micro-Id"
	microSource      = "Micro-From-Service"
)

// GoMicroHeaders makes a client write the headers of go-micro beside those of
// CloudEvents, so that go-micro's subscribers understand its events: Content-Type,
// Micro-Topic and Micro-Id, in this spelling. Default: they are not written. They
// are always understood.
func GoMicroHeaders() ClientOption {
	return clientOption(func(o *clientOptions) { o.goMicro = true })
}

// addGoMicro adds the headers of go-micro to an event that is complete.
func (p *publication) addGoMicro() {
	p.headers = append(p.headers,
		broker.Field{Name: microContentType, Value: p.headers[placeContentType].Value},
		broker.Field{Name: microTopic, Value: p.topic},
		broker.Field{Name: microID, Value: p.headers[placeID].Value},
	)
}

// isGoMicro reports whether a message without a type is an event that go-micro
// published. Its brokers are used without these headers, too; that is then no
// event.
func isGoMicro(h headers) bool { return h.get("micro-topic") != "" }

// goMicroBody returns the body of an event of go-micro, and how to read it.
func goMicroBody(h headers, body []byte) (Codec, []byte, error) {
	contentType := h.get(headerContentType)
	if contentType == "" {
		return "", nil, notEvent(headerContentType)
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(media, "application/grpc") {
		codec, err := codecOf(contentType)
		return codec, body, err
	}
	if framed, ok := unframe(body); ok {
		return Protobuf, framed, nil
	}
	switch media {
	case "application/grpc", "application/grpc+proto":
		return Protobuf, body, nil
	case "application/grpc+json":
		return JSON, body, nil
	}
	return "", nil, unknownCodec(contentType)
}

// unframe takes off the frame that go-micro's RPC client puts around a body where
// the content type is one of gRPC: a zero byte and the length. No message begins
// with a zero byte, so that nothing else is taken for a frame. Inside is always
// protobuf, even where the content type says JSON.
func unframe(body []byte) ([]byte, bool) {
	const prefix = 5
	if len(body) < prefix || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-prefix) {
		return nil, false
	}
	return body[prefix:], true
}
