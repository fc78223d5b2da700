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
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

// frame sends a frame behind its size.
func (w *wire) frame(frame string) {
	w.t.Helper()
	w.send(string(binary.AppendUvarint(nil, uint64(len(frame)))) + frame)
}

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
	w := open(t, b)
	resp := w.post(upgrade, frameOf("orders", "billing", "", "first", "x")) //nolint:bodyclose // there is none
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "micro-event/1" {
		t.Fatalf("got %s, %v, want 101", resp.Status, resp.Header)
	}
	if got := w.answer(); len(got) != 1 || got[0].code != http.StatusOK {
		t.Fatalf("the first answer: got %v, want 200", got)
	}
	return w
}

func handler(f func(ctx context.Context, body string) error) broker.Handler {
	return func(ctx context.Context, d *broker.Delivery) error { return f(ctx, string(d.Message.Body)) }
}

// TestConnectionsChangeToFrames sends good and bad requests on one connection.
func TestConnectionsChangeToFrames(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry(), httpbroker.MaxBody(1<<20))
	var handled atomic.Int64
	subscribe(t, b, "orders", handler(func(_ context.Context, body string) error {
		handled.Add(1)
		if body == "poison" {
			return broker.Permanent(errors.New("no such order"))
		}
		return nil
	}), broker.Queue("billing"), broker.DropAfter(1))
	w := openUpgraded(t, b)
	for _, c := range []struct {
		name, frame string
		want        status
	}{
		{"good", frameOf("orders", "billing", "", "2", "x"), status{200, false}},
		{"poison", frameOf("orders", "billing", "", "3", "poison"), status{422, false}},
		{"no such subscription", frameOf("orders", "shipping", "", "4", "x"), status{404, true}},
		{"another instance", frameOf("orders", "billing", "gone", "5", "x"), status{421, true}},
		{"known", frameOf("orders", "billing", "", "2", "x"), status{200, false}},
	} {
		w.frame(c.frame)
		if got := w.answer(); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if n := handled.Load(); n != 3 {
		t.Errorf("handled %d messages, want 3", n)
	}
	w.frame("garbage")
	if got := w.answer(); len(got) != 1 || got[0] != (status{400, true}) {
		t.Errorf("garbage: got %v, want 400", got)
	}
	w.ended()
}

// TestLargeFramesAreRefusedUnread announces more than a member takes.
func TestLargeFramesAreRefusedUnread(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry())
	subscribe(t, b, "orders", ignore, broker.Queue("billing"))
	for _, size := range []uint64{512 << 20, 1 << 63} {
		w := openUpgraded(t, b)
		w.send(string(binary.AppendUvarint(nil, size)))
		if got := w.answer(); len(got) != 1 || got[0] != (status{413, true}) {
			t.Errorf("%d bytes: got %v, want 413", size, got)
		}
		w.ended()
	}
	w := openUpgraded(t, b)
	w.send(strings.Repeat("\xff", 11)) // no number ever
	w.ended()
}

// TestSlowHandlersOnChangedConnections has a handler that takes its time, on the
// goroutine of the connection: 202 must come meanwhile, and the result afterwards.
func TestSlowHandlersOnChangedConnections(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry())
	release := make(chan struct{})
	subscribe(t, b, "orders", handler(func(ctx context.Context, body string) error {
		if body == "slow" {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return nil
	}), broker.Queue("billing"))
	w := openUpgraded(t, b)
	for i := range 3 {
		w.frame(frameOf("orders", "billing", "", fmt.Sprint("slow", i), "slow"))
		if _, err := w.reader.Peek(1); err != nil { // 202
			t.Fatal(err)
		}
		release <- struct{}{}
		got := w.answer()
		if n := len(got); n < 2 || got[0].code != http.StatusAccepted || got[n-1].code != http.StatusOK {
			t.Errorf("got %v, want 202 and then 200", got)
		}
		w.frame(frameOf("orders", "billing", "", fmt.Sprint("quick", i), "quick"))
		if got := w.answer(); got[len(got)-1].code != http.StatusOK {
			t.Errorf("got %v, want 200 in the end", got)
		}
	}
}

// TestPublishersThatLeaveAreNoticed closes a connection while its message waits: the
// member has room again, and does not handle it.
func TestPublishersThatLeaveAreNoticed(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry(), httpbroker.Capacity(2))
	begun, release := make(chan string, 10), make(chan struct{})
	subscribe(t, b, "orders", handler(func(_ context.Context, body string) error {
		if body != "x" {
			begun <- body
			<-release
		}
		return nil
	}), broker.Queue("billing"))
	first, second, third := openUpgraded(t, b), openUpgraded(t, b), openUpgraded(t, b)
	first.frame(frameOf("orders", "billing", "", "2", "first"))
	if got := <-begun; got != "first" {
		t.Fatalf("got %q, want the first", got)
	}
	second.frame(frameOf("orders", "billing", "", "3", "second"))
	if _, err := second.reader.Peek(1); err != nil { // 202: it waits in the member
		t.Fatal(err)
	}
	third.frame(frameOf("orders", "billing", "", "4", "third"))
	if got := third.answer(); got[0].code != http.StatusTooManyRequests {
		t.Fatalf("got %v, want 429", got)
	}
	second.Close() //nolint:errcheck // a test
	for code := uint64(http.StatusTooManyRequests); code == http.StatusTooManyRequests; {
		third.frame(frameOf("orders", "billing", "", "4", "third"))
		if code = third.result().code; code == http.StatusTooManyRequests {
			third.answer() // its end
		}
	}
	close(release)
	if got := third.answer(); got[len(got)-1].code != http.StatusOK {
		t.Errorf("got %v, want 200 in the end", got)
	}
	if got := <-begun; got != "third" {
		t.Errorf("handled %q, whose publisher had left before", got)
	}
}

// TestConnectionsDoNotChange where requests are not to be passed by.
func TestConnectionsDoNotChange(t *testing.T) {
	plain := func(t *testing.T, opts ...broker.Option) *broker.Engine {
		b := connect(t, httpbroker.NewMemoryRegistry(), opts...)
		subscribe(t, b, "orders", ignore, broker.Queue("billing"))
		return b
	}
	frame := frameOf("orders", "billing", "", "1", "x")
	for name, c := range map[string]struct {
		opts   []broker.Option
		header string
		offer  string
	}{
		"not asked for":    {nil, "", "micro-event/1"},
		"another protocol": {nil, "Connection: Upgrade\r\nUpgrade: websocket\r\n", "micro-event/1"},
		"bearer":           {[]broker.Option{httpbroker.Bearer(token)}, upgrade + "Authorization: Bearer " + token + "\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp := open(t, plain(t, c.opts...)).post(c.header, frame) //nolint:bodyclose // the connection is closed
			if got := resp.Header.Get("Upgrade"); resp.StatusCode != http.StatusOK || got != c.offer {
				t.Errorf("got %s, offers %q, want 200 and %q", resp.Status, got, c.offer)
			}
		})
	}
}

// TestIdleConnectionsEndWithTheBroker disconnects while one connection is idle and
// another has a request, whose answer must come.
func TestIdleConnectionsEndWithTheBroker(t *testing.T) {
	b := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	begun, release := make(chan struct{}), make(chan struct{})
	subscribe(t, b, "orders", handler(func(_ context.Context, body string) error {
		if body == "slow" {
			close(begun)
			<-release
		}
		return nil
	}), broker.Queue("billing"))
	idle, busy := openUpgraded(t, b), openUpgraded(t, b)
	busy.frame(frameOf("orders", "billing", "", "2", "slow"))
	<-begun
	done := make(chan error, 1)
	go func() { done <- b.Disconnect(within(t, 5*time.Second)) }()
	close(release)
	if got := busy.answer(); got[len(got)-1].code != http.StatusOK {
		t.Errorf("got %v, want 200 in the end", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	idle.ended()
	busy.ended()
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("%d goroutines are left, %d before", runtime.NumGoroutine(), before)
}

// TestStuckHandlersDoNotHoldUpDisconnect has a handler that ignores its cancellation,
// on the goroutine of the connection.
func TestStuckHandlersDoNotHoldUpDisconnect(t *testing.T) {
	b := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	subscribe(t, b, "orders", handler(func(_ context.Context, body string) error {
		if body == "stuck" {
			close(begun)
			<-release
		}
		return nil
	}), broker.Queue("billing"))
	w := openUpgraded(t, b)
	w.frame(frameOf("orders", "billing", "", "2", "stuck"))
	<-begun
	if err := b.Disconnect(within(t, 100*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time was over", err)
	}
	if _, err := io.ReadAll(w.reader); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection is still open")
	}
}

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

// wantFrame reads a frame behind its size.
func (w *wire) wantFrame() {
	w.t.Helper()
	size, err := binary.ReadUvarint(w.reader)
	if err != nil || size > 1000 {
		w.t.Errorf("size of a frame: %d, %v", size, err)
		return
	}
	if _, err := io.CopyN(io.Discard, w.reader, int64(size)); err != nil {
		w.t.Error(err)
	}
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
