package httpbroker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// frameOf is written by hand, as somebody else's client would.
func frameOf(topic, queue, instance, id, body string) string {
	field := func(b []byte, n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
	}
	message := field(field(nil, 1, id), 4, body)
	b := field(field(field(nil, 1, topic), 2, queue), 3, instance)
	return string(field(b, 5, string(message)))
}

func post(t *testing.T, address, contentType, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+httpbroker.DeliverPath, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() }) //nolint:errcheck // a test
	return resp
}

const frameType = "application/vnd.micro-event.frame"

func TestRequestsAreRefused(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry())
	var handled atomic.Int64
	subscribe(t, b, "orders", func(context.Context, *broker.Delivery) error {
		handled.Add(1)
		return nil
	}, broker.Queue("billing"))
	good := frameOf("orders", "billing", "", "1", "x")
	for name, c := range map[string]struct {
		contentType, body string
		want              int
	}{
		"wrong instance":       {frameType, frameOf("orders", "billing", "another", "1", "x"), 421},
		"unknown subscription": {frameType, frameOf("orders", "shipping", "", "1", "x"), 404},
		"unknown topic":        {frameType, frameOf("nothing", "billing", "", "1", "x"), 404},
		"malformed":            {frameType, good[:len(good)-1], 400},
		"topic with CR and LF": {frameType, frameOf("orders\r\nX: y", "billing", "", "1", "x"), 400},
		"empty":                {frameType, "", 400},
		"JSON":                 {"application/json", good, 415},
		"no content type":      {"", good, 415},
	} {
		resp := post(t, b.Address(), c.contentType, c.body) //nolint:bodyclose // post sees to it
		if resp.StatusCode != c.want {
			t.Errorf("%s: got %s, want %d", name, resp.Status, c.want)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil || strings.Contains(string(text), "orders") {
			t.Errorf("%s: the answer %q (%v) echoes the request", name, text, err)
		}
	}
	resp, err := http.Get(b.Address() + httpbroker.DeliverPath) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close() //nolint:errcheck // a test
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %s, want 405", resp.Status)
	}
	if n := handled.Load(); n != 0 {
		t.Errorf("the handler ran %d times", n)
	}
}

func TestReplayIsHandledOnce(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry())
	var handled atomic.Int64
	subscribe(t, b, "orders", func(context.Context, *broker.Delivery) error {
		handled.Add(1)
		return nil
	}, broker.Queue("billing"))
	for range 3 {
		resp := post(t, b.Address(), frameType, frameOf("orders", "billing", "", "1", "x")) //nolint:bodyclose // post sees to it
		got, err := io.ReadAll(resp.Body)
		if want := "\x03\x10\xc8\x01"; err != nil || resp.StatusCode != http.StatusOK || string(got) != want {
			t.Errorf("got %s %x, %v, want 200 %x", resp.Status, got, err, want)
		}
	}
	if n := handled.Load(); n != 1 {
		t.Errorf("handled: got %d, want 1", n)
	}
}

// TestLargeBodiesAreRefusedUnread announces 512 MiB.
func TestLargeBodiesAreRefusedUnread(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry())
	for name, head := range map[string]string{
		"413": "Content-Length: 536870912\r\n",
		"411": "Transfer-Encoding: chunked\r\n",
	} {
		c := dial(t, b)
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n%s\r\n", httpbroker.DeliverPath, frameType, head) //nolint:errcheck // the answer tells
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close() //nolint:errcheck // a test
		if !strings.HasPrefix(resp.Status, name) {
			t.Errorf("%q: got %s, want %s", head, resp.Status, name)
		}
	}
}

func dial(t *testing.T, b *broker.Engine) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(b.Address(), "http://")) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() }) //nolint:errcheck // a test
	return c
}

// TestOpenConnectionsAreBounded opens 2,000 connections that send half a request.
func TestOpenConnectionsAreBounded(t *testing.T) {
	const limit, attempts = 100, 2000
	b := connect(t, httpbroker.NewMemoryRegistry(), httpbroker.MaxConnections(limit))
	before := memory()
	conns := make([]net.Conn, 0, attempts)
	for range attempts {
		c, err := net.Dial("tcp", strings.TrimPrefix(b.Address(), "http://")) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHo") //nolint:errcheck // it may be closed by now
		conns = append(conns, c)
	}
	closed := 0
	for i := len(conns) - 1; i >= limit; i-- {
		conns[i].SetReadDeadline(time.Now().Add(long)) //nolint:errcheck // the read tells
		if _, err := conns[i].Read(make([]byte, 1)); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			closed++
		}
	}
	if closed != attempts-limit {
		t.Errorf("closed at once: got %d, want %d", closed, attempts-limit)
	}
	if grown := int64(memory()) - int64(before); grown > 50<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
	for _, c := range conns {
		c.Close() //nolint:errcheck // a test
	}
}

func memory() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// forged is a registry that says what it is told to.
type forged struct{ entries []httpbroker.Entry }

func (forged) Register(context.Context, httpbroker.Entry, time.Duration) error { return nil }
func (forged) Deregister(context.Context, httpbroker.Entry) error              { return nil }
func (f forged) Lookup(context.Context, string) (*httpbroker.View, error) {
	return &httpbroker.View{Entries: f.entries}, nil
}

func (forged) Watch(ctx context.Context, _ string, _ *httpbroker.View) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestForgedAddressesAreNotDialled(t *testing.T) {
	for _, address := range []string{
		"169.254.169.254:80", "0.0.0.0:80", "[::]:80", "[fe80::1]:80", "224.0.0.1:80", "[::ffff:169.254.169.254]:80",
		"user:pass@127.0.0.1:80", "127.0.0.1:80/latest", "127.0.0.1:80?x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:099", "[::1", ":80",
		"127.0.0.1:80\r\nHost: x", "http://127.0.0.1:80",
	} {
		b := connect(t, forged{[]httpbroker.Entry{{Topic: "orders", Queue: "q", Instance: "i", Address: address}}})
		err := b.Publish(within(t, 50*time.Millisecond), "orders", &broker.Message{})
		if !errors.Is(err, broker.ErrNotDelivered) {
			t.Errorf("%q: got %v, want ErrNotDelivered", address, err)
		}
	}
}

func TestOnlyAllowedPeersAreDialled(t *testing.T) {
	r := httpbroker.NewMemoryRegistry()
	subscribe(t, connect(t, r), "orders", ignore, broker.Queue("billing"))
	b := connect(t, r, httpbroker.AllowPeers(netip.MustParsePrefix("10.0.0.0/8")))
	if err := b.Publish(within(t, 50*time.Millisecond), "orders", &broker.Message{}); !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("a peer that is not allowed: got %v, want ErrNotDelivered", err)
	}
	b = connect(t, r, httpbroker.AllowPeers(netip.MustParsePrefix("127.0.0.0/8")))
	if err := b.Publish(within(t, long), "orders", &broker.Message{}); err != nil {
		t.Errorf("a peer that is allowed: %v", err)
	}
}

func TestRedirectionsAreNotFollowed(t *testing.T) {
	var followed atomic.Bool
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	t.Cleanup(target.Close)
	server := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	b := connect(t, forged{[]httpbroker.Entry{{Topic: "orders", Queue: "q", Instance: "i", Address: server.Listener.Addr().String()}}})
	if err := b.Publish(within(t, 100*time.Millisecond), "orders", &broker.Message{}); err == nil {
		t.Error("got nil, want an error")
	}
	if followed.Load() {
		t.Error("the redirection was followed")
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		b := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()), httpbroker.Listen(address))
		err := b.Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), "AllowPlaintext") {
			t.Errorf("Listen(%q): got %v, want an error that names AllowPlaintext", address, err)
		}
		b = httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()), httpbroker.Listen(address), httpbroker.AllowPlaintext())
		err = b.Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), "AllowAnonymous") {
			t.Errorf("Listen(%q), AllowPlaintext: got %v, want an error that names AllowAnonymous", address, err)
		}
	}
	mounted := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()), httpbroker.Mounted("192.0.2.1:80"))
	if err := mounted.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "AllowPlaintext") {
		t.Errorf("Mounted: got %v, want an error that names AllowPlaintext", err)
	}
	connect(t, httpbroker.NewMemoryRegistry(), httpbroker.Listen("localhost:0"))
	b := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()),
		httpbroker.Listen("0.0.0.0:0"), httpbroker.AllowPlaintext(), httpbroker.AllowAnonymous())
	if err := b.Connect(t.Context()); err == nil {
		t.Error("Listen on no interface: got nil, want an error")
	}
}

// brokenBody panics when it is read.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { panic("broken") }
func (brokenBody) Close() error             { return nil }

func TestPanicIsAnswered500(t *testing.T) {
	d := httpbroker.NewDriver()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, httpbroker.DeliverPath, brokenBody{})
	req.ContentLength = 10
	req.Header.Set("Content-Type", frameType)
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, req)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("got %d, want 500", w.Code)
	}
}

// TestEndlessAnswersAreCutOff has a member that is none: it never ends the head of
// its answer.
func TestEndlessAnswersAreCutOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // a test
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close() //nolint:errcheck // a test
				for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n"); err == nil; {
					_, err = io.WriteString(c, "X: "+strings.Repeat("x", 10_000)+"\r\n")
				}
			}()
		}
	}()
	b := connect(t, forged{[]httpbroker.Entry{{Topic: "orders", Queue: "q", Instance: "i", Address: l.Addr().String()}}})
	before := memory()
	if err := b.Publish(within(t, 500*time.Millisecond), "orders", &broker.Message{}); !errors.Is(err, broker.ErrUncertain) {
		t.Errorf("got %v, want ErrUncertain", err)
	}
	if grown := int64(memory()) - int64(before); grown > 10<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
}

// TestHungMemberIsPassedOver has two members of a queue, one of which accepts
// connections and says nothing. Few messages may try it.
func TestHungMemberIsPassedOver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // a test
	var tried atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tried.Add(1)
			t.Cleanup(func() { c.Close() }) //nolint:errcheck // a test
		}
	}()
	r := httpbroker.NewMemoryRegistry()
	subscribe(t, connect(t, r), "orders", ignore, broker.Queue("billing"))
	hung := httpbroker.Entry{Topic: "orders", Queue: "billing", Instance: "hung", Address: l.Addr().String()}
	if err := r.Register(t.Context(), hung, time.Hour); err != nil {
		t.Fatal(err)
	}
	b := connect(t, r)
	begin := time.Now()
	load(t, func(ctx context.Context) error { return b.Publish(ctx, "orders", &broker.Message{}) }, 32, 320)
	if n, most := tried.Load(), 4+int64(time.Since(begin)/(500*time.Millisecond)); n > most {
		t.Errorf("connections to the hung member: got %d, want at most %d", n, most)
	}
}
