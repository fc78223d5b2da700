package httpbroker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// headOf writes the fields of a head.
func headOf(fields http.Header) string {
	var b strings.Builder
	if err := fields.Write(&b); err != nil {
		panic(err)
	}
	return b.String()
}

// proof is a head that proves all that is asked for: a token, and a signature of frame.
func proof(given, id string, at time.Time, frame string) string {
	h := signed(secret, id, at, frame)
	h.Set("Authorization", "Bearer "+given)
	return headOf(h)
}

// TestCredentialsOnChangedConnections: each frame proves who sends it, and one that
// does not is refused without an end of the connection.
func TestCredentialsOnChangedConnections(t *testing.T) {
	b := connect(t, httpbroker.NewMemoryRegistry(), httpbroker.Bearer(token), httpbroker.HMAC(secret), httpbroker.Log(quiet))
	subscribe(t, b, "orders", ignore, broker.Queue("billing"))
	frame, now := frameOf("orders", "billing", "", "1", "x"), time.Now()
	opened := 0
	upgraded := func() *wire {
		opened++ // a signature is good once
		return openProving(t, b, func(frame string) string { return proof(token, fmt.Sprint("first ", opened), now, frame) })
	}
	w := upgraded()
	for _, c := range []struct {
		name, head string
		want       status
	}{
		{"good", proof(token, "2", now, frame), status{200, false}},
		{"used before", proof(token, "2", now, frame), status{401, true}},
		{"nothing", "", status{401, true}},
		{"no token", headOf(signed(secret, "3", now, frame)), status{401, true}},
		{"no signature", "Authorization: Bearer " + token + "\r\n", status{401, true}},
		{"another token", proof(strings.ToUpper(token)+"x", "4", now, frame), status{401, true}},
		{"expired", proof(token, "5", now.Add(-time.Hour), frame), status{401, true}},
		{"of another frame", proof(token, "6", now, frame+"x"), status{401, true}},
		{"good again, in other cases", strings.ReplaceAll(proof(token, "7", now, frame), "Webhook", "webhook"), status{200, false}},
	} {
		w.request(c.head, frame)
		if got := w.answer(); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	for name, head := range map[string]string{
		"no line":     "Authorization",
		"no end":      "Authorization: Bearer " + token,
		"no name":     ": Bearer\r\n",
		"bad name":    "Autho rization: Bearer\r\n",
		"line feed":   "A: b\nAuthorization: c\r\n",
		"zero":        "A: b\x00\r\n",
		"empty line":  "\r\n" + proof(token, "8", now, frame),
		"large":       "A: " + strings.Repeat("x", 16<<10) + "\r\n",
		"large, none": strings.Repeat("\xff", 11),
	} {
		w := upgraded()
		if name == "large, none" {
			w.send(head) // as its size
		} else {
			w.request(head, frame)
			if got := w.answer(); len(got) != 1 || got[0] != (status{400, true}) {
				t.Errorf("%s: got %v, want 400", name, got)
			}
		}
		w.ended()
	}
}

// TestTokensAreAskedForEachFrame publishes on a changed connection while the token
// changes.
func TestTokensAreAskedForEachFrame(t *testing.T) {
	var mu sync.Mutex
	current, asked, verified := token, 0, 0
	tokens := httpbroker.BearerFunc(
		func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			return current, nil
		},
		func(_ context.Context, given string) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			verified++
			if given != current {
				return "", errors.New("unknown token")
			}
			if verified%2 == 0 {
				return "", nil // has no name, whoever sent a frame before
			}
			return fmt.Sprint("shop ", verified), nil
		})
	var names []string
	b := connect(t, httpbroker.NewMemoryRegistry(), tokens, httpbroker.Authorize(func(_ context.Context, a httpbroker.Access) error {
		if a.Action == httpbroker.ActionPublish {
			names = append(names, a.Peer.Name)
		}
		return nil
	}))
	subscribe(t, b, "orders", ignore, broker.Queue("billing"))
	const n = 6
	for i := range n {
		mu.Lock()
		current = fmt.Sprint(token, i)
		mu.Unlock()
		if err := b.Publish(within(t, 5*time.Second), "orders", &broker.Message{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"shop 1", "", "shop 3", "", "shop 5", ""}
	if asked != n || verified != n || !slices.Equal(names, want) {
		t.Errorf("asked for %d tokens, verified %d, want %d each; of %q, want %q", asked, verified, n, names, want)
	}
}

// TestMountedConnectionsDoNotChange: the server is somebody else's.
func TestMountedConnectionsDoNotChange(t *testing.T) {
	d := httpbroker.NewDriver()
	server := httptest.NewServer(d.Handler())
	defer server.Close()
	b := broker.New(d, httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()), httpbroker.Mounted(server.Listener.Addr().String()))
	if err := b.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Disconnect(within(t, 5*time.Second)); err != nil {
			t.Error(err)
		}
	}()
	subscribe(t, b, "orders", ignore, broker.Queue("billing"))
	resp := open(t, b).post(upgrade, frameOf("orders", "billing", "", "1", "x")) //nolint:bodyclose // the connection is closed
	if got := resp.Header.Get("Upgrade"); resp.StatusCode != http.StatusOK || got != "" {
		t.Errorf("got %s, offers %q, want 200 and nothing", resp.Status, got)
	}
}
