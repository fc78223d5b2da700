package httpbroker_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

var update = flag.Bool("update", false, "write testdata anew")

const (
	token       = "t0ken-that-nobody-can-guess"
	otherToken  = "another-token-of-some-length"
	secret      = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherSecret = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

// fortress is a broker with subscriptions, under one configuration.
type fortress struct {
	url     string
	client  *http.Client
	handled atomic.Int64
	sent    int
}

// newFortress starts one. Client is the configuration of who sends, nil where there
// is no TLS.
func newFortress(t *testing.T, options []broker.Option, client *tls.Config) *fortress {
	t.Helper()
	f := &fortress{client: &http.Client{Transport: &http.Transport{TLSClientConfig: client, DisableKeepAlives: true}}}
	b := connect(t, httpbroker.NewMemoryRegistry(), append(options, httpbroker.Log(quiet))...)
	count := func(context.Context, *broker.Delivery) error {
		f.handled.Add(1)
		return nil
	}
	for _, s := range [][2]string{{"orders", "billing"}, {"orders", "shipping"}, {"refunds", "billing"}, {"secret", "billing"}} {
		subscribe(t, b, s[0], count, broker.Queue(s[1]))
	}
	f.url = b.Address()
	return f
}

// request is what a client sends.
type request struct {
	topic, queue, instance, tenant, body string
	token, secret                        string
	age                                  time.Duration // of the signature
	tamper                               func(*request)
	origin                               string
}

// signed returns the headers of Standard Webhooks, as any client would make them.
func signed(secret, id string, at time.Time, body string) http.Header {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(id + "." + timestamp + "." + body))
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))},
	}
}

func (r *request) frame(id int) string {
	return frameWith(r.topic, r.queue, r.instance, fmt.Sprint(id), r.tenant, r.body)
}

// send sends a request as often as it is told and returns the status of the last.
func (f *fortress) send(t *testing.T, r request, times int) string {
	t.Helper()
	f.sent++
	header := http.Header{}
	if r.secret != "" {
		header = signed(r.secret, fmt.Sprint("msg_", f.sent), time.Now().Add(-r.age), r.frame(f.sent))
	}
	if r.tamper != nil {
		r.tamper(&r)
	}
	header.Set("Content-Type", frameType)
	if r.token != "" {
		header.Set("Authorization", "Bearer "+r.token)
	}
	if r.origin != "" {
		header.Set("Origin", r.origin)
	}
	status := ""
	for range times {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+httpbroker.DeliverPath, strings.NewReader(r.frame(f.sent)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		status = f.do(req)
	}
	return status
}

// do returns the status of the request, or of its message.
func (f *fortress) do(req *http.Request) string {
	resp, err := f.client.Do(req)
	if err != nil {
		return "no connection"
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "no answer"
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %s", resp.StatusCode, body)
	}
	return fmt.Sprint(statusOf(body))
}

// accessRequests are the columns of the matrix. Good is what is right in the
// configuration.
var accessRequests = []struct {
	name  string
	times int
	make  func(good request) request
}{
	{"right", 1, func(r request) request { return r }},
	{"no credentials", 1, func(r request) request { r.token, r.secret = "", ""; return r }},
	{"wrong credentials", 1, func(r request) request {
		r.token, r.secret = wrong(r.token, otherToken), wrong(r.secret, otherSecret)
		return r
	}},
	{"signed too long ago", 1, func(r request) request { r.age = time.Minute; return r }},
	{"signed in the future", 1, func(r request) request { r.age = -time.Minute; return r }},
	{"replayed", 2, func(r request) request { return r }},
	{"other topic after signing", 1, func(r request) request { r.tamper = func(r *request) { r.topic = "refunds" }; return r }},
	{"other queue after signing", 1, func(r request) request { r.tamper = func(r *request) { r.queue = "shipping" }; return r }},
	{"other header after signing", 1, func(r request) request { r.tamper = func(r *request) { r.tenant = "evil" }; return r }},
	{"other body after signing", 1, func(r request) request { r.tamper = func(r *request) { r.body = "evil" }; return r }},
	{"other instance", 1, func(r request) request { r.instance = "another"; return r }},
	{"unknown topic", 1, func(r request) request { r.topic = "nothing"; return r }},
	{"topic that is not allowed", 1, func(r request) request { r.topic = "secret"; return r }},
	{"from a browser", 1, func(r request) request { r.origin = "https://evil.example"; return r }},
}

func wrong(given, other string) string {
	if given == "" {
		return ""
	}
	return other
}

// TestWhoGetsIn sends each request to each configuration and compares what happens
// with testdata/access.txt, which is reviewed.
func TestWhoGetsIn(t *testing.T) {
	ca, stranger := newAuthority(t, "ours"), newAuthority(t, "theirs")
	own := newFiles(t)
	own.write(t, ca, "orders.example", time.Now(), ca)
	tlsFiles := httpbroker.TLSFiles(own[0], own[1], own[2])
	noCertificate := ca.clientConfig(t, ca)
	noCertificate.Certificates = nil
	notSecret := httpbroker.Authorize(func(_ context.Context, a httpbroker.Access) error {
		if a.Topic == "secret" || a.Action != httpbroker.ActionPublish {
			return errors.New("no")
		}
		return nil
	})
	base := request{topic: "orders", queue: "billing", tenant: "acme", body: "x"}
	with := func(token, secret string) request { r := base; r.token, r.secret = token, secret; return r }
	var table strings.Builder
	for _, c := range []struct {
		name    string
		options []broker.Option
		client  *tls.Config
		good    request
	}{
		{"open", nil, nil, base},
		{"bearer", []broker.Option{httpbroker.Bearer(token)}, nil, with(token, "")},
		{"hmac", []broker.Option{httpbroker.HMAC(secret)}, nil, with("", secret)},
		{"bearer, new token brought in", []broker.Option{httpbroker.Bearer(otherToken+"!", token)}, nil, with(token, "")},
		{"hmac, new secret brought in", []broker.Option{httpbroker.HMAC(otherSecret[:len(otherSecret)-4]+"MQ==", secret)}, nil, with("", secret)},
		{"mtls", []broker.Option{tlsFiles}, ca.clientConfig(t, ca), base},
		{"mtls, stranger", []broker.Option{tlsFiles}, stranger.clientConfig(t, ca), base},
		{"mtls, no certificate", []broker.Option{tlsFiles}, noCertificate, base},
		{"mtls and hmac", []broker.Option{tlsFiles, httpbroker.HMAC(secret)}, ca.clientConfig(t, ca), with("", secret)},
		{"mtls, authorised", []broker.Option{tlsFiles, notSecret}, ca.clientConfig(t, ca), base},
		{"bearer, authorised", []broker.Option{httpbroker.Bearer(token), notSecret}, nil, with(token, "")},
	} {
		f := newFortress(t, c.options, c.client)
		for _, r := range accessRequests {
			before := f.handled.Load()
			status := f.send(t, r.make(c.good), r.times)
			fmt.Fprintf(&table, "%-30s | %-26s | %-38s | handled %d\n", c.name, r.name, status, f.handled.Load()-before)
		}
	}
	golden(t, "access.txt", table.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

var quiet = slog.New(slog.DiscardHandler)

// frameWith is frameOf with a header tenant.
func frameWith(topic, queue, instance, id, tenant, body string) string {
	field := func(b []byte, n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
	}
	header := field(field(nil, 1, "tenant"), 2, tenant)
	message := field(field(field(nil, 1, id), 3, string(header)), 4, body)
	b := field(field(nil, 1, topic), 2, queue)
	if instance != "" {
		b = field(b, 3, instance)
	}
	return string(field(b, 5, string(message)))
}

// statusOf returns the status of the last result in the answer for one message: others,
// which say 202, come before it where the handler takes its time.
func statusOf(answer []byte) uint64 {
	var last uint64
	for len(answer) > 0 {
		payload, size := protowire.ConsumeBytes(answer)
		if size < 0 {
			return 0
		}
		answer = answer[size:]
		for len(payload) > 0 {
			number, kind, n := protowire.ConsumeTag(payload)
			if number == 2 {
				last, _ = protowire.ConsumeVarint(payload[n:])
			}
			payload = payload[n:]
			payload = payload[protowire.ConsumeFieldValue(number, kind, payload):]
		}
	}
	return last
}

// clientOf keeps connections.
func clientOf(c *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c}}
}
