package httpbroker

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Limits of a frame, beside the server's limit of its size. A message that was
// dead-lettered may have 8 headers and 4 KiB more than one that is published.
const (
	maxFrameMessages = 1024
	maxHeaderEntries = broker.MaxHeaderEntries + 8
	maxHeaderBytes   = broker.MaxHeaderBytes + 4<<10
	maxIDBytes       = 1 << 10
)

// Numbers of the fields; docs/protocol.md has the schema.
const (
	frameTopic    = 1
	frameQueue    = 2
	frameInstance = 3
	frameLevel    = 4
	frameMessages = 5

	messageID     = 1
	messageKey    = 2
	messageHeader = 3
	messageBody   = 4

	headerName  = 1
	headerValue = 2
)

// Level is what nil from Publish means.
type Level int

// The levels.
const (
	// Handled means that a handler of each queue finished the message, or that it
	// lies on its dead-letter topic. It is the default.
	Handled Level = iota

	// Accepted means that a member of each queue holds the message in memory, or
	// the publisher does for a queue that has none at the moment.
	Accepted
)

// String returns the level's name.
func (l Level) String() string {
	switch l {
	case Handled:
		return "handled"
	case Accepted:
		return "accepted"
	default:
		return fmt.Sprintf("level %d", int(l))
	}
}

// frame is what one POST carries: messages for one queue of one topic, or for
// one subscription without a queue.
type frame struct {
	topic, queue, instance string
	level                  Level
	messages               []message
}

// message is a record with what identifies it. Its record shares the memory of
// the frame.
type message struct {
	id     string
	record broker.Record
}

// errFrame is wrapped by the errors of parseFrame.
var errFrame = errors.New("malformed frame")

// appendMessage appends a message as a field of a frame. The body comes last, so
// that all before it can be read as one string.
func appendMessage(b []byte, id string, r *broker.Record) []byte {
	size := sizeString(id) + sizeString(r.Key)
	for i := range r.Header {
		size += 1 + protowire.SizeBytes(sizeField(&r.Header[i]))
	}
	if len(r.Body) > 0 {
		size += 1 + protowire.SizeBytes(len(r.Body))
	}
	b = appendSize(b, frameMessages, size)
	b = appendString(b, messageID, id)
	b = appendString(b, messageKey, r.Key)
	for i := range r.Header {
		f := &r.Header[i]
		b = appendSize(b, messageHeader, sizeField(f))
		b = appendString(b, headerName, f.Name)
		b = appendString(b, headerValue, f.Value)
	}
	if len(r.Body) > 0 {
		b = append(appendSize(b, messageBody, len(r.Body)), r.Body...)
	}
	return b
}

func sizeField(f *broker.Field) int { return sizeString(f.Name) + sizeString(f.Value) }

// sizeString is the size of a field with a number below 16, or nothing.
func sizeString(s string) int {
	if s == "" {
		return 0
	}
	return 1 + protowire.SizeBytes(len(s))
}

func appendString(b []byte, n protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendSize(b, n, len(s)), s...)
}

// appendSize appends what stands before the bytes of a field with a number below
// 16.
func appendSize(b []byte, num protowire.Number, size int) []byte {
	if size < 0x80 {
		return append(b, byte(num)<<3|byte(protowire.BytesType), byte(size))
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(size))
}

// appendFrameHead appends all of a frame but its messages.
func appendFrameHead(b []byte, f *frame) []byte {
	b = appendString(b, frameTopic, f.topic)
	b = appendString(b, frameQueue, f.queue)
	b = appendString(b, frameInstance, f.instance)
	if f.level != Handled {
		b = protowire.AppendVarint(protowire.AppendTag(b, frameLevel, protowire.VarintType), uint64(f.level))
	}
	return b
}

// parseFrame reads and checks a frame, which its records keep referring to.
func parseFrame(b []byte) (*frame, error) {
	f := new(frame)
	p := parser{frame: f}
	count, err := countMessages(b)
	if err != nil {
		return nil, err
	}
	f.messages = make([]message, 0, count)
	if err := eachField(b, p.set); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// countMessages looks how many messages there are before there is memory for
// them.
func countMessages(b []byte) (int, error) {
	n := 0
	err := eachField(b, func(num protowire.Number, typ protowire.Type, _ []byte, _ uint64) error {
		if num == frameMessages && typ == protowire.BytesType {
			n++
		}
		return nil
	})
	if n > maxFrameMessages {
		return 0, fmt.Errorf("%w: %d messages, more than %d", errFrame, n, maxFrameMessages)
	}
	return n, err
}

// parser fills a frame. The messages of one cut the lists of their headers from
// common pieces.
type parser struct {
	*frame
	fields []broker.Field // what is left of the last piece
}

// maxPiece is how large a piece is at the most, for messages that may have fewer
// headers than the first.
const maxPiece = 64

// list returns an empty list with room for n headers.
func (f *parser) list(n int) []broker.Field {
	if n > len(f.fields) {
		left := cap(f.messages) - len(f.messages)
		f.fields = make([]broker.Field, max(n, min(n*left, maxPiece)))
	}
	list := f.fields[:0:n]
	f.fields = f.fields[n:]
	return list
}

func (f *parser) set(num protowire.Number, typ protowire.Type, value []byte, n uint64) error {
	if typ == protowire.VarintType && num == frameLevel {
		if n > uint64(Accepted) {
			return fmt.Errorf("%w: unknown level", errFrame)
		}
		f.level = Level(n)
	}
	if typ != protowire.BytesType {
		return nil
	}
	switch num {
	case frameTopic:
		f.topic = string(value)
	case frameQueue:
		f.queue = string(value)
	case frameInstance:
		f.instance = string(value)
	case frameMessages:
		m, err := parseMessage(value, f.list)
		if err != nil {
			return err
		}
		f.messages = append(f.messages, m)
	default: // a later version of the protocol
	}
	return nil
}

func (f *frame) check() error {
	if err := broker.CheckTopic(f.topic); err != nil {
		return fmt.Errorf("%w: topic: %w", errFrame, err)
	}
	if f.queue != "" {
		if err := broker.CheckTopic(f.queue); err != nil {
			return fmt.Errorf("%w: queue: %w", errFrame, err)
		}
	}
	switch {
	case f.queue == "" && f.instance == "":
		return fmt.Errorf("%w: neither queue nor instance", errFrame)
	case len(f.messages) == 0:
		return fmt.Errorf("%w: no messages", errFrame)
	}
	return nil
}
