package httpbroker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// script is a connection from which input is read, once.
type script struct {
	input  bytes.Reader
	output bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)       { return s.input.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return s.output.Write(b) }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

func scripted(input []byte) *script {
	s := &script{}
	s.input.Reset(input)
	return s
}

// FuzzStream sends anything on a connection that has changed to frames. What is
// answered is whole answers, of refusals, for there is no subscription.
func FuzzStream(f *testing.F) {
	for _, v := range frames {
		frame := encodeFrame(&v)
		one := append(binary.AppendUvarint([]byte{0}, uint64(len(frame))), frame...)
		f.Add(append(one, one...))
		head := "Authorization: Bearer " + strings.Repeat("x", minSecretBytes) + "\r\n"
		one = append(append(binary.AppendUvarint(nil, uint64(len(head))), head...), one[1:]...)
		f.Add(append(one, one...))
	}
	f.Add(binary.AppendUvarint([]byte{0}, math.MaxUint64))
	f.Add(binary.AppendUvarint(nil, math.MaxUint64))
	f.Add([]byte{0})
	open, asking := NewDriver(), NewDriver()
	broker.New(asking, Bearer(strings.Repeat("x", minSecretBytes)))
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, d := range []*Driver{open, asking} {
			c := scripted(input)
			st := &stream{Conn: c, server: d.server, streams: newStreams(), reader: bufio.NewReader(c)}
			within(t, len(input), func() {
				for st.await() {
					if st.serveOne(t.Context()) != nil {
						break
					}
				}
			})
			for b := c.output.Bytes(); len(b) > 0; {
				r, n, err := cutResult(b)
				if err != nil || n == 0 || !r.whole || r.status < 400 || len(b) == n || b[n] != 0 {
					t.Fatalf("answered %x to %x", c.output.Bytes(), input)
				}
				b = b[n+1:]
			}
		}
	})
}

// FuzzAnswer answers a publisher with anything, on a connection that has changed to
// frames. It may use the connection again only when the answer has ended.
func FuzzAnswer(f *testing.F) {
	all := appendResult(appendResult(nil, result{index: 1, status: 202}), result{index: 1, status: 200})
	f.Add(append(append(all, appendResult(nil, result{status: 422, reason: "no"})...), 0))
	f.Add(append(appendResult(nil, result{status: 404, whole: true}), 0))
	f.Add([]byte{0, 0})
	f.Add([]byte("\x80\x00"))
	f.Fuzz(func(t *testing.T, input []byte) {
		ep := &endpoint{publisher: &publisher{}}
		calls := []*call{{verdict: make(chan verdict, 1)}, {verdict: make(chan verdict, 1)}}
		ep.mu.Lock()
		fl := &flight{endpoint: ep, calls: calls, open: len(calls), unsaid: len(calls), present: len(calls)}
		for i, c := range calls {
			c.flight, c.index = fl, i
		}
		ep.ahead++
		ep.mu.Unlock()
		c := &conn{Conn: scripted(input), reader: bufio.NewReader(bytes.NewReader(input))}
		reusable, err := fl.readFrames(t.Context(), c, time.Time{})
		rest, readErr := io.ReadAll(c.reader)
		if reusable && (readErr != nil || len(rest) > 0 || len(input) == 0 || input[len(input)-1] != 0) {
			t.Errorf("%x: it may be used again, with %x unread", input, rest)
		}
		if !reusable && err == nil && len(rest) == 0 && !fl.over {
			t.Errorf("%x: no error, somebody waits for more, and it is not to be used again", input)
		}
	})
}
