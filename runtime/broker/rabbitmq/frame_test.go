package rabbitmqbroker_test

import (
	"encoding/binary"
	"errors"
	"io"
)

// Frames.
const (
	frameMethod    = 1
	frameHeader    = 2
	frameBody      = 3
	frameHeartbeat = 8
	frameEnd       = 0xCE
)

func frame(kind byte, channel uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, payload...), frameEnd)
}

func readFrame(in io.Reader) (kind byte, channel uint16, payload []byte, err error) {
	head := make([]byte, 7)
	if _, err := io.ReadFull(in, head); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	if _, err := io.ReadFull(in, payload); err != nil {
		return 0, 0, nil, err
	}
	last := len(payload) - 1
	if payload[last] != frameEnd {
		return 0, 0, nil, errors.New("a frame without an end")
	}
	return head[0], binary.BigEndian.Uint16(head[1:]), payload[:last], nil
}

// readContent reads a part of a message, and goes over heartbeats.
func readContent(in io.Reader) ([]byte, error) {
	for {
		kind, _, payload, err := readFrame(in)
		if err != nil || kind == frameHeader || kind == frameBody {
			return payload, err
		}
	}
}

func short(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func long(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }

func refusal(code uint16, text string) []byte {
	return join(binary.BigEndian.AppendUint16(nil, code), short(text), make([]byte, 4))
}

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}
