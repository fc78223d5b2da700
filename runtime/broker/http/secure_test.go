package httpbroker_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// TestConformanceWithAllOfIt runs the suite over mutual TLS with tokens and
// signatures.
func TestConformanceWithAllOfIt(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite has run without")
	}
	ca, own := newAuthority(t, "ours"), newFiles(t)
	own.write(t, ca, "orders.example", time.Now(), ca)
	r := httpbroker.NewMemoryRegistry()
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return httpbroker.New(append(opts, httpbroker.WithRegistry(r), httpbroker.TLSFiles(own[0], own[1], own[2]),
			httpbroker.Bearer(token), httpbroker.HMAC(secret))...)
	}, features(httpbroker.Handled))
}

// TestCertificatesAreRenewedUnderLoad renews authority and certificates five times
// while messages flow, as an operator would: first the new authority is trusted
// beside the old one, then certificates of the new one are used, then the old
// one is trusted no more.
func TestCertificatesAreRenewedUnderLoad(t *testing.T) {
	ca, files, stamp := newAuthority(t, "first"), [2]files{newFiles(t), newFiles(t)}, time.Now()
	names := [2]string{"billing.example", "shop.example"}
	write := func(issuer *authority, trusted ...*authority) {
		stamp = stamp.Add(time.Minute)
		for i, f := range files {
			f.write(t, issuer, names[i], stamp, trusted...)
		}
	}
	write(ca, ca)
	r := httpbroker.NewMemoryRegistry()
	var handled atomic.Int64
	member := connect(t, r, append(files[0].options(), httpbroker.Log(quiet))...)
	subscribe(t, member, "orders", func(context.Context, *broker.Delivery) error { handled.Add(1); return nil },
		broker.Queue("billing"), broker.MaxInFlight(8))
	b := connect(t, r, append(files[1].options(), httpbroker.Log(quiet))...)

	var published atomic.Int64
	stop, publishing := make(chan struct{}), sync.WaitGroup{}
	for p := range 8 {
		publishing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				m := &broker.Message{Key: fmt.Sprint(p), Body: []byte(fmt.Sprint(i))}
				if err := b.Publish(t.Context(), "orders", m); err != nil {
					t.Errorf("publish: %v", err)
					return
				}
				published.Add(1)
			}
		})
	}
	var old *authority
	for i := range 5 {
		old, ca = ca, newAuthority(t, fmt.Sprint("authority ", i+2))
		for _, step := range [][]*authority{{old, old, ca}, {ca, old, ca}, {ca, ca}} {
			write(step[0], step[1:]...)
			for at := published.Load() + 200; published.Load() < at && !t.Failed(); {
				runtime.Gosched() // each step is in use before the next
			}
		}
	}
	close(stop)
	publishing.Wait()
	if handled.Load() != published.Load() || published.Load() == 0 {
		t.Errorf("published %d, handled %d", published.Load(), handled.Load())
	}
	f := &fortress{url: member.Address()}
	f.client = clientOf(old.clientConfig(t, ca))
	if status := f.send(t, request{topic: "orders", queue: "billing", body: "x"}, 1); status != "no connection" {
		t.Errorf("a client of the authority that was removed: got %s, want no connection", status)
	}
	f.client = clientOf(ca.clientConfig(t, ca))
	if status := f.send(t, request{topic: "orders", queue: "billing", body: "x"}, 1); status != "200" {
		t.Errorf("a client of the last authority: got %s, want 200", status)
	}
	t.Logf("%d messages through 15 changes of files", published.Load())
}

// TestAStandingConnectionOfARemovedAuthorityIsRefused keeps a connection that was
// made before its authority was removed.
func TestAStandingConnectionOfARemovedAuthorityIsRefused(t *testing.T) {
	ca, next, own, stamp := newAuthority(t, "first"), newAuthority(t, "next"), newFiles(t), time.Now()
	own.write(t, ca, "orders.example", stamp, ca)
	member := connect(t, httpbroker.NewMemoryRegistry(), append(own.options(), httpbroker.Log(quiet))...)
	subscribe(t, member, "orders", ignore, broker.Queue("billing"))
	f := &fortress{url: member.Address(), client: clientOf(ca.clientConfig(t, ca))}
	r := request{topic: "orders", queue: "billing", body: "x"}
	if status := f.send(t, r, 1); status != "200" {
		t.Fatalf("before: got %s, want 200", status)
	}
	own.write(t, ca, "orders.example", stamp.Add(time.Minute), next)
	if status := f.send(t, r, 1); !strings.HasPrefix(status, "401") {
		t.Errorf("after: got %s, want 401", status)
	}
}

// TestFilesThatCannotBeReadChangeNothing breaks the files of a broker that runs.
func TestFilesThatCannotBeReadChangeNothing(t *testing.T) {
	ca, own, stamp := newAuthority(t, "ours"), newFiles(t), time.Now()
	own.write(t, ca, "orders.example", stamp, ca)
	r := httpbroker.NewMemoryRegistry()
	b := connect(t, r, append(own.options(), httpbroker.Log(quiet))...)
	subscribe(t, b, "orders", ignore, broker.Queue("billing"))
	other := own
	other[1] = own[0] // the key is overwritten by the authorities
	other.write(t, ca, "orders.example", stamp.Add(time.Minute), ca)
	if err := b.Publish(t.Context(), "orders", &broker.Message{}); err != nil {
		t.Errorf("publish: %v", err)
	}
	if err := httpbroker.New(httpbroker.TLSFiles(own[0], own[1], own[2])).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "TLSFiles") {
		t.Errorf("connect with such files: got %v, want an error of TLSFiles", err)
	}
}

// TestAMemberMustBeAllowedToSubscribe registers a member with a good certificate
// that is not that of the queue.
func TestAMemberMustBeAllowedToSubscribe(t *testing.T) {
	ca, good, evil := newAuthority(t, "ours"), newFiles(t), newFiles(t)
	good.write(t, ca, "billing.example", time.Now(), ca)
	evil.write(t, ca, "evil.example", time.Now(), ca)
	r := httpbroker.NewMemoryRegistry()
	var stolen atomic.Int64
	impostor := connect(t, r, httpbroker.TLSFiles(evil[0], evil[1], evil[2]))
	subscribe(t, impostor, "orders", func(context.Context, *broker.Delivery) error { stolen.Add(1); return nil }, broker.Queue("billing"))
	var refusals atomic.Int64
	ctx, cancel := context.WithCancel(within(t, 10*time.Second))
	defer cancel()
	onlyBilling := httpbroker.Authorize(func(_ context.Context, a httpbroker.Access) error {
		if a.Action == httpbroker.ActionSubscribe && a.Peer.Name != a.Queue+".example" {
			if refusals.Add(1) == 2 {
				cancel()
			}
			return fmt.Errorf("%s is not %s", a.Peer.Name, a.Queue)
		}
		return nil
	})
	b := connect(t, r, httpbroker.TLSFiles(good[0], good[1], good[2]), onlyBilling)
	err := b.Publish(ctx, "orders", &broker.Message{Body: []byte("x")})
	if !errors.Is(err, broker.ErrNotDelivered) || !strings.Contains(err.Error(), "evil.example is not billing") {
		t.Errorf("publish: got %v, want ErrNotDelivered and the reason", err)
	}
	member := connect(t, r, httpbroker.TLSFiles(good[0], good[1], good[2]))
	subscribe(t, member, "orders", ignore, broker.Queue("billing"))
	for range 20 {
		if err := b.Publish(within(t, 10*time.Second), "orders", &broker.Message{Body: []byte("x")}); err != nil {
			t.Errorf("publish beside the impostor: %v", err)
		}
	}
	if stolen.Load() > 0 {
		t.Errorf("the impostor got %d messages", stolen.Load())
	}
}

func TestWrongSecurityOptionsAreErrorsOfConnect(t *testing.T) {
	for want, option := range map[string]broker.Option{
		"Bearer: there is none":               httpbroker.Bearer(),
		"Bearer: number 2 has 5 bytes":        httpbroker.Bearer(token, "short"),
		"Bearer: number 1 has a character":    httpbroker.Bearer(token + "\r\n"),
		"BearerFunc: a function is nil":       httpbroker.BearerFunc(nil, nil),
		"HMAC: there are 0 secrets":           httpbroker.HMAC(),
		"HMAC: secret number 1 is not base64": httpbroker.HMAC("whsec_!"),
		"HMAC: secret number 1 has 3 bytes":   httpbroker.HMAC("whsec_AAAA"),
		"TLS: the configuration is nil":       httpbroker.TLS(nil),
		"TLSFiles: stat nowhere":              httpbroker.TLSFiles("nowhere", "nowhere", "nowhere"),
		"Authorize: the function is nil":      httpbroker.Authorize(nil),
	} {
		err := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()), option).Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestATokenThatCannotBeHadIsNotDelivered has an issuer of tokens that is away, before
// there is a connection and when one is kept.
func TestATokenThatCannotBeHadIsNotDelivered(t *testing.T) {
	away := errors.New("the issuer is away")
	var isAway atomic.Bool
	b := connect(t, httpbroker.NewMemoryRegistry(), httpbroker.BearerFunc(
		func(context.Context) (string, error) {
			if isAway.Load() {
				return "", away
			}
			return token, nil
		},
		func(context.Context, string) (string, error) { return "", nil }))
	subscribe(t, b, "orders", ignore, broker.Queue("billing"))
	for _, when := range []string{"without a connection", "with one that is kept"} {
		isAway.Store(true)
		err := b.Publish(within(t, 200*time.Millisecond), "orders", &broker.Message{})
		if !errors.Is(err, broker.ErrNotDelivered) || !errors.Is(err, away) {
			t.Errorf("%s: got %v, want ErrNotDelivered and the reason", when, err)
		}
		isAway.Store(false)
		if err := b.Publish(within(t, 10*time.Second), "orders", &broker.Message{}); err != nil {
			t.Errorf("%s, when the issuer is back: %v", when, err)
		}
	}
}
