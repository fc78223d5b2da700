package httpbroker_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// member accepts connections, one after the other, and lets a test play the part of a
// member on them.
func member(t *testing.T, plays ...func(w *wire)) *broker.Engine {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		l.Close() //nolint:errcheck // a test
		<-done
	})
	go func() {
		defer close(done)
		for _, play := range plays {
			c, err := l.Accept()
			if err != nil {
				t.Errorf("too few connections: %v", err)
				return
			}
			play(&wire{t, c, bufio.NewReader(c)})
			c.Close() //nolint:errcheck // a test
		}
	}()
	return connect(t, forged{[]httpbroker.Entry{{Topic: "orders", Queue: "q", Instance: "i", Address: l.Addr().String()}}})
}

// wantPost reads a request of HTTP and looks whether it asks for the change.
func (w *wire) wantPost(asks bool) {
	w.t.Helper()
	r, err := http.ReadRequest(w.reader)
	if err != nil {
		w.t.Error(err)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		w.t.Error(err)
	}
	if got := r.Header.Get("Upgrade") == "micro-event/1" && r.Header.Get("Connection") == "Upgrade"; got != asks {
		w.t.Errorf("got %v, asks for the change is %v, want %v", r.Header, got, asks)
	}
}

// wantFrame reads a head, which is empty, and a frame.
func (w *wire) wantFrame() {
	w.t.Helper()
	if head := w.part(); head != "" {
		w.t.Errorf("got the head %q, want none", head)
	}
	w.part()
}

// part reads a part of a request behind its size.
func (w *wire) part() string {
	w.t.Helper()
	size, err := binary.ReadUvarint(w.reader)
	if err != nil || size > 1000 {
		w.t.Errorf("size of a part: %d, %v", size, err)
		return ""
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(w.reader, b); err != nil {
		w.t.Error(err)
	}
	return string(b)
}

const (
	offer     = "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: micro-event/1\r\nContent-Type: application/vnd.micro-event.results\r\nContent-Length: "
	switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: micro-event/1\r\n\r\n"
	handled   = "\x03\x10\xc8\x01"
	taken     = "\x03\x10\xca\x01"
	notFound  = "\x05\x10\x94\x03\x20\x01"
)

// TestPublishersChangeWhereItIsOffered publishes to a member that offers the change,
// grants it, cuts the connection and refuses.
func TestPublishersChangeWhereItIsOffered(t *testing.T) {
	b := member(t, func(w *wire) {
		w.wantPost(false)
		w.send(strings.Replace(offer, "Connection: Upgrade\r\n", "", 1) + "4\r\n\r\n" + handled) // as some proxies do
		w.wantPost(false)
		w.send(offer + "4\r\n\r\n" + handled)
		w.wantPost(true)
		w.send(offer + "4\r\n\r\n" + handled) // it may be declined
		w.wantPost(true)
		w.send(switching + taken)
		w.send(handled + "\x00")
		w.wantFrame()
		w.send(taken + handled[:2])
		w.send(handled[2:] + "\x00")
		w.wantFrame() // and ends: the publisher tries again
	}, func(w *wire) {
		w.wantPost(true)
		w.send(switching + handled + "\x00")
		w.wantFrame()
		w.send(notFound + "\x00") // it asks again, as there is no other member
		w.wantFrame()
		w.send(handled + "\x00")
	})
	for i := range 7 {
		if err := b.Publish(within(t, 5*time.Second), "orders", &broker.Message{}); err != nil {
			t.Errorf("publish %d: %v", i, err)
		}
	}
}

// TestAnswersInFramesThatAreWrong must not count as delivered, nor be read for ever.
func TestAnswersInFramesThatAreWrong(t *testing.T) {
	for name, answer := range map[string]string{
		"ends at once":          switching,
		"ends without a result": switching + "\x00",
		"another protocol":      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + handled + "\x00",
		"too long":              switching + "\xff\xff\x7f" + strings.Repeat("x", 100_000),
		"of no message":         switching + "\x05\x08\x07\x10\xc8\x01\x00",
		"no status":             switching + "\x02\x08\x00\x00",
		"more of the same":      switching + strings.Repeat(taken, 100_000),
		"an end in HTTP":        offer + "1\r\n\r\n\x00",
	} {
		t.Run(name, func(t *testing.T) {
			b := member(t, func(w *wire) {
				w.wantPost(false)
				w.send(offer + "4\r\n\r\n" + handled)
				w.wantPost(true)
				io.WriteString(w, answer) //nolint:errcheck // it may not be read
			})
			if err := b.Publish(within(t, 5*time.Second), "orders", &broker.Message{}); err != nil {
				t.Fatal(err)
			}
			if err := b.Publish(within(t, 200*time.Millisecond), "orders", &broker.Message{}); !errors.Is(err, broker.ErrUncertain) {
				t.Errorf("got %v, want ErrUncertain", err)
			}
		})
	}
}

// TestAnswersWithoutTheirEndHoldUpNobody has a member that says all results and never
// that the answer has ended. Those who wait for the request must not wait for that.
func TestAnswersWithoutTheirEndHoldUpNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	var members sync.WaitGroup
	members.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			members.Go(func() { resultsWithoutEnd(t, &wire{t, c, bufio.NewReader(c)}) })
		}
	})
	b := connect(t, forged{[]httpbroker.Entry{{Topic: "orders", Queue: "q", Instance: "i", Address: l.Addr().String()}}})
	load(t, func(context.Context) error {
		return b.Publish(within(t, 2*time.Second), "orders", &broker.Message{}) // less than a silence of the member may last
	}, 20, 100)
	if err := b.Disconnect(within(t, long)); err != nil {
		t.Error(err)
	}
	l.Close() //nolint:errcheck // a test
	members.Wait()
}

// resultsWithoutEnd offers the change, makes it, and answers one request after it.
func resultsWithoutEnd(t *testing.T, w *wire) {
	defer w.Close() //nolint:errcheck // a test
	for {
		r, err := http.ReadRequest(w.reader)
		if err != nil {
			return
		}
		frame, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		results := ""
		for i := range strings.Count(string(frame), "\x2a") { // each message has a short id, without this byte
			results += string([]byte{5, 8, byte(i), 16, 0xc8, 1})
		}
		if r.Header.Get("Upgrade") == "" {
			w.send(offer + fmt.Sprint(len(results)) + "\r\n\r\n" + results)
			continue
		}
		w.send(switching + results)
		io.Copy(io.Discard, w.reader) //nolint:errcheck // until the publisher closes
		return
	}
}
