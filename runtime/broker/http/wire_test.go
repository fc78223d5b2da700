package httpbroker_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// wire is a connection of somebody else's publisher.
type wire struct {
	t *testing.T
	net.Conn
	reader *bufio.Reader
}

// post sends a frame as a request of HTTP.
func (w *wire) post(header, frame string) *http.Response {
	w.t.Helper()
	w.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s",
		httpbroker.DeliverPath, frameType, len(frame), header, frame))
	resp, err := http.ReadResponse(w.reader, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func (w *wire) send(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		w.t.Fatal(err)
	}
}

// frame sends a frame behind an empty head, each behind its size.
func (w *wire) frame(frame string) {
	w.t.Helper()
	w.request("", frame)
}

func (w *wire) request(head, frame string) {
	w.t.Helper()
	w.send(sized(head) + sized(frame))
}

func sized(text string) string { return string(binary.AppendUvarint(nil, uint64(len(text)))) + text }

// status is what a result says, and whether that is about the whole request.
type status struct {
	code  uint64
	whole bool
}

// answer reads results up to the empty one.
func (w *wire) answer() []status {
	w.t.Helper()
	var all []status
	for {
		s := w.result()
		if s == (status{}) {
			return all
		}
		all = append(all, s)
	}
}

// result reads a result.
func (w *wire) result() status {
	w.t.Helper()
	size, err := binary.ReadUvarint(w.reader)
	if err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(w.reader, b); err != nil {
		w.t.Fatal(err)
	}
	return parseStatus(w.t, b)
}

func parseStatus(t *testing.T, b []byte) status {
	t.Helper()
	var s status
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		b = b[max(n, 0):]
		if typ != protowire.VarintType {
			b = b[max(protowire.ConsumeFieldValue(num, typ, b), 0):]
			continue
		}
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		switch num {
		case 2:
			s.code = v
		case 4:
			s.whole = v == 1
		default:
		}
	}
	return s
}

// ended waits for the end of the connection.
func (w *wire) ended() {
	w.t.Helper()
	if b, err := io.ReadAll(w.reader); len(b) > 0 || err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		w.t.Errorf("got %q, %v, want the end of the connection", b, err)
	}
}

const upgrade = "Connection: Upgrade\r\nUpgrade: micro-event/1\r\n"

// open connects to a broker; the connection may take 10 s in all.
func open(t *testing.T, b *broker.Engine) *wire {
	t.Helper()
	c := dial(t, b)
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &wire{t, c, bufio.NewReader(c)}
}

// openUpgraded opens a connection that has changed to frames, with one message.
func openUpgraded(t *testing.T, b *broker.Engine) *wire {
	t.Helper()
	return openProving(t, b, func(string) string { return "" })
}

// openProving is openUpgraded where the first request, too, has to prove who sends it.
func openProving(t *testing.T, b *broker.Engine, proof func(frame string) string) *wire {
	t.Helper()
	w, frame := open(t, b), frameOf("orders", "billing", "", "first", "x")
	resp := w.post(upgrade+proof(frame), frame) //nolint:bodyclose // there is none
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "micro-event/1" {
		t.Fatalf("got %s, %v, want 101", resp.Status, resp.Header)
	}
	if got := w.answer(); len(got) != 1 || got[0].code != http.StatusOK {
		t.Fatalf("the first answer: got %v, want 200", got)
	}
	return w
}
