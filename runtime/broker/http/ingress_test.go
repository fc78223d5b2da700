package httpbroker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// received tells what a handler was given: key, body and headers in their order.
func received(d *broker.Delivery) string {
	header, err := json.Marshal(d.Message.Header) // sorted by name
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s|%s|%s", d.Message.Key, d.Message.Body, header)
}

// door is a broker with an ingress and a queue of orders whose handler answers err.
func door(t *testing.T, err error, opts ...broker.Option) (url string, got chan string) {
	t.Helper()
	got = make(chan string, 100)
	b := connect(t, httpbroker.NewMemoryRegistry(), append(opts, httpbroker.Ingress(), httpbroker.MaxBody(1<<10), httpbroker.Log(quiet),
		broker.WithLogger(quiet))...)
	subscribe(t, b, "orders", func(_ context.Context, d *broker.Delivery) error {
		got <- received(d)
		return err
	}, broker.Queue("billing"))
	return b.Address() + httpbroker.IngressPath, got
}

// event returns a request in binary mode; headers are name and value in turn.
func event(t *testing.T, url, body string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"shop"}, "Ce-Type": {"order"}, "Content-Type": {"text/plain"},
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = []string{headers[i+1]}
		if headers[i+1] == "" {
			delete(req.Header, headers[i])
		}
	}
	return req
}

func structuredEvent(t *testing.T, url, body string) *http.Request {
	t.Helper()
	req := event(t, url, body, "Content-Type", "application/cloudevents+json; charset=utf-8")
	for _, name := range []string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type"} {
		delete(req.Header, name)
	}
	return req
}

func answerTo(t *testing.T, req *http.Request) string {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // a test
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", string(text)))
}

func TestIngressPublishes(t *testing.T) {
	url, got := door(t, nil)
	plain := `|hi|{"ce-id":"1","ce-source":"shop","ce-type":"order","content-type":"text/plain"}`
	structured := func(data string) *http.Request {
		return structuredEvent(t, url+"orders", `{"specversion":"1.0","id":"1","source":"shop","type":"order"`+data+`}`)
	}
	for name, c := range map[string]struct {
		req  *http.Request
		want string
	}{
		"binary": {event(t, url+"orders", "hi"), plain},
		"binary with key and attributes": {
			event(t, url+"orders", "hi", "Ce-Partitionkey", "o-1", "Ce-Subject", "caf%C3%A9%20%22x%22"),
			`o-1|hi|{"ce-id":"1","ce-source":"shop","ce-subject":"café \"x\"","ce-type":"order","content-type":"text/plain"}`,
		},
		"binary, other headers stay behind": {event(t, url+"orders", "hi", "Tenant", "acme"), plain},
		"structured, JSON": {
			structured(`,"data":{"a": 1}`), `|{"a": 1}|{"ce-id":"1","ce-source":"shop","ce-type":"order","content-type":"application/json"}`,
		},
		"structured, bytes": {
			structured(`,"datacontenttype":"application/protobuf","data_base64":"aGk="`),
			`|hi|{"ce-id":"1","ce-source":"shop","ce-type":"order","content-type":"application/protobuf"}`,
		},
		"structured, text": {structured(`,"datacontenttype":"text/plain","data":"hi"`), plain},
		"structured, text that is JSON": {
			structured(`,"data":"hi"`), `|"hi"|{"ce-id":"1","ce-source":"shop","ce-type":"order","content-type":"application/json"}`,
		},
		"structured, attributes of all kinds": {
			structured(`,"datacontenttype":"text/plain","data":"hi","partitionkey":"k","anumber":42,"abool":true,"nothing":null`),
			`k|hi|{"ce-abool":"true","ce-anumber":"42","ce-id":"1","ce-source":"shop","ce-type":"order","content-type":"text/plain"}`,
		},
	} {
		// Each has an id of its own, else it would be a repetition.
		id := "id-" + strings.Map(func(r rune) rune {
			if r < 'a' || r > 'z' {
				return '-'
			}
			return r
		}, name)
		if c.req.Header.Get("Ce-Id") != "" {
			c.req.Header.Set("Ce-Id", id)
		} else {
			body, err := io.ReadAll(c.req.Body)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(string(body), `"id":"1"`, `"id":"`+id+`"`, 1)
			c.req.Body, c.req.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
		if answer := answerTo(t, c.req); answer != "204" {
			t.Errorf("%s: got %s, want 204", name, answer)
			continue
		}
		if text, want := <-got, strings.Replace(c.want, `"ce-id":"1"`, `"ce-id":"`+id+`"`, 1); text != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, text, want)
		}
	}
}

func TestIngressRefuses(t *testing.T) {
	url, got := door(t, nil)
	batch := event(t, url+"orders", "[]", "Content-Type", "application/cloudevents-batch+json")
	chunked := event(t, url+"orders", "hi")
	chunked.ContentLength = -1
	get := event(t, url+"orders", "")
	get.Method = http.MethodGet
	twice := event(t, url+"orders", "hi")
	twice.Header["Ce-Subject"] = []string{"a", "b"}
	for want, req := range map[string]*http.Request{
		"404 nobody subscribes to the topic":                     event(t, url+"nothing", "hi"),
		"404 no such topic":                                      event(t, url+"a%20b", "hi"),
		"405 only POST":                                          get,
		"411 content length is missing":                          chunked,
		"413 data is too large":                                  event(t, url+"orders", strings.Repeat("x", 1<<10+1)),
		"413 request is too large":                               event(t, url+"orders", strings.Repeat("x", 1<<20)),
		"415 batches are not taken; send one event at a time":    batch,
		"415 requests are not compressed":                        event(t, url+"orders", "hi", "Content-Encoding", "gzip"),
		"403 browsers are not served":                            event(t, url+"orders", "hi", "Origin", "https://evil.example"),
		"400 not a CloudEvent: specversion is not 1.0":           event(t, url+"orders", "hi", "Ce-Specversion", "0.3"),
		"400 not a CloudEvent: it has no id":                     event(t, url+"orders", "hi", "Ce-Id", ""),
		"400 not a CloudEvent: it has no source":                 event(t, url+"orders", "hi", "Ce-Source", ""),
		"400 not a CloudEvent: attribute subject stands 2 times": twice,
		`400 not a CloudEvent: attribute "a_b": a name has lower-case letters and digits only`: event(t, url+"orders", "hi", "Ce-A_b", "x"),
		`400 not a CloudEvent: attribute "subject": invalid URL escape "%zz"`:                  event(t, url+"orders", "hi", "Ce-Subject", "%zz"),
		`400 not a CloudEvent: attribute "subject": it is not UTF-8`:                           event(t, url+"orders", "hi", "Ce-Subject", "%ff"),
		"400 not a CloudEvent: malformed JSON":                                                 structuredEvent(t, url+"orders", "{"),
		"400 not a CloudEvent: it has both data and data_base64":                               structuredEvent(t, url+"orders", `{"specversion":"1.0","data":1,"data_base64":""}`),
		"400 not a CloudEvent: data_base64 is not base64":                                      structuredEvent(t, url+"orders", `{"specversion":"1.0","data_base64":"!"}`),
		`400 not a CloudEvent: attribute "x": it is neither text, number nor boolean`:          structuredEvent(t, url+"orders", `{"specversion":"1.0","x":[]}`),
	} {
		if answer := answerTo(t, req); answer != want {
			t.Errorf("got %q, want %q", answer, want)
		}
	}
	if len(got) > 0 {
		t.Errorf("handled: %s", <-got)
	}
}

// TestIngressSaysWhatPublishSaid has a handler that gives up.
func TestIngressSaysWhatPublishSaid(t *testing.T) {
	url, _ := door(t, broker.Permanent(io.ErrUnexpectedEOF))
	if answer := answerTo(t, event(t, url+"orders", "hi")); answer != "422 a subscription refused the event for good" {
		t.Errorf("a handler that gives up: got %s", answer)
	}
	url, _ = door(t, nil, httpbroker.PublishLevel(httpbroker.Accepted))
	if answer := answerTo(t, event(t, url+"orders", "hi")); answer != "202" {
		t.Errorf("level Accepted: got %s, want 202", answer)
	}
	b := connect(t, httpbroker.NewMemoryRegistry())
	if answer := answerTo(t, event(t, b.Address()+httpbroker.IngressPath+"orders", "hi")); answer != "404 no such path" {
		t.Errorf("without Ingress: got %s, want 404", answer)
	}
}

// TestIngressWantsTheSameCredentials sends an event without any, with a token, and
// with a signature that covers its attributes or not.
func TestIngressWantsTheSameCredentials(t *testing.T) {
	url, _ := door(t, nil, httpbroker.Bearer(token))
	if answer := answerTo(t, event(t, url+"orders", "hi")); answer != "401 credentials are missing" {
		t.Errorf("no token: got %s", answer)
	}
	if answer := answerTo(t, event(t, url+"orders", "hi", "Authorization", "Bearer "+token)); answer != "204" {
		t.Errorf("token: got %s, want 204", answer)
	}
	url, _ = door(t, nil, httpbroker.HMAC(secret))
	sign := func(req *http.Request, body string) *http.Request {
		maps.Copy(req.Header, signed(secret, "msg_1", time.Now(), body))
		return req
	}
	if answer := answerTo(t, sign(event(t, url+"orders", "hi"), "hi")); !strings.HasPrefix(answer, "401 the signature does not cover the headers") {
		t.Errorf("binary mode without TLS: got %s", answer)
	}
	body := `{"specversion":"1.0","id":"1","source":"shop","type":"order"}`
	req := sign(structuredEvent(t, url+"orders", body), body)
	if answer := answerTo(t, req); answer != "204" {
		t.Errorf("structured: got %s, want 204", answer)
	}
	if answer := answerTo(t, sign(structuredEvent(t, url+"orders", body+" "), body)); answer != "401 credentials are not valid" {
		t.Errorf("changed after signing: got %s", answer)
	}
	again := structuredEvent(t, url+"orders", body)
	again.Header = req.Header
	if answer := answerTo(t, again); answer != "401 the request was sent before" {
		t.Errorf("replayed: got %s", answer)
	}
	notHere := httpbroker.Authorize(func(context.Context, httpbroker.Access) error { return io.EOF })
	url, _ = door(t, nil, httpbroker.Bearer(token), notHere)
	if answer := answerTo(t, event(t, url+"orders", "hi", "Authorization", "Bearer "+token)); answer != "403 not allowed to publish here" {
		t.Errorf("not allowed: got %s", answer)
	}
}

// TestIngressWithCurl runs the commands of docs/protocol.md.
func TestIngressWithCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```sh ingress\n")[1:]
	if len(blocks) != 2 {
		t.Fatalf("docs/protocol.md has %d blocks of commands, want 2", len(blocks))
	}
	url, got := door(t, nil, httpbroker.Bearer(token))
	for _, block := range blocks {
		script, _, _ := strings.Cut(block, "```")
		command := exec.CommandContext(t.Context(), "bash", "-euc", script)
		command.Env = append(os.Environ(), "BROKER="+strings.TrimSuffix(url, httpbroker.IngressPath), "TOKEN="+token)
		out, err := command.CombinedOutput()
		if err != nil || !strings.HasSuffix(string(out), "204") {
			t.Errorf("%s\n%v, printed %q, want 204", script, err, out)
			continue
		}
		if text := <-got; !strings.HasPrefix(text, `o-1|{"order_id":"o-1"}|`) {
			t.Errorf("handled %s", text)
		}
	}
}
