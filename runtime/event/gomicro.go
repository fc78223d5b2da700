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

// goMicroCodec returns the codec of an event of go-micro.
func goMicroCodec(h headers) (Codec, error) {
	contentType := h.get(headerContentType)
	if contentType == "" {
		return "", notEvent(headerContentType)
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return codecOf(contentType) // which says what is wrong
	}
	switch media {
	case "application/grpc", "application/grpc+proto":
		return Protobuf, nil
	case "application/grpc+json":
		return JSON, nil
	}
	return codecOf(contentType)
}

// goMicroBody returns the body without the frame that some of go-micro's clients
// put around it where the content type is gRPC's: a zero byte and the length. No
// message begins with a zero byte, so that nothing else is taken for a frame.
func goMicroBody(h headers, body []byte) []byte {
	const prefix = 5
	framed := strings.HasPrefix(h.get(headerContentType), "application/grpc") && len(body) >= prefix &&
		body[0] == 0 && uint64(binary.BigEndian.Uint32(body[1:])) == uint64(len(body)-prefix)
	if framed {
		return body[prefix:]
	}
	return body
}
