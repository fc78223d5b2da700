package mqttbroker_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"

	"github.com/micro-event/micro-event/runtime/broker"
	mqttbroker "github.com/micro-event/micro-event/runtime/broker/mqtt"
)

func TestBadURLsAndOptions(t *testing.T) {
	for _, test := range []struct {
		url  string
		opt  broker.Option
		want string
	}{
		{"http://user:secret@host", nil, "want a URL like mqtt://"},
		{"mqtt://user:secret@", nil, "want a URL like mqtt://"},
		{"mqtt://user:secret@host/topic", nil, "want a URL like mqtt://"},
		{"mqtt://host", mqttbroker.ClientID(strings.Repeat("x", 91)), "ClientID: got"},
		{"mqtt://host", mqttbroker.SessionExpiry(time.Millisecond), "SessionExpiry: got 1ms, want at least 1s"},
		{"mqtt://host", mqttbroker.ReceiveMaximum(65536), "ReceiveMaximum: got 65536, want 1 to 65535"},
		{"mqtt://host", mqttbroker.PublishWindow(0), "PublishWindow: got 0, want at least 1"},
	} {
		var opts []broker.Option
		if test.opt != nil {
			opts = append(opts, test.opt)
		}
		b := mqttbroker.New(test.url, opts...)
		err := b.Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q and no password", test.url, err, test.want)
		}
		if strings.Contains(b.Address(), "secret") {
			t.Errorf("address: got %s, want no password", b.Address())
		}
	}
}

func TestPasswords(t *testing.T) {
	rules := &auth.Hook{}
	ledger := &auth.Ledger{Auth: auth.AuthRules{{Username: "orders", Password: "secret", Allow: true}}}
	url := startServer(t, authHook{rules, &auth.Options{Ledger: ledger}})
	address := strings.TrimPrefix(url, "mqtt://")
	connect(t, "mqtt://orders:secret@"+address)
	for _, url := range []string{"mqtt://orders:wrong@" + address, url} {
		err := mqttbroker.New(url).Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), "the server refuses the connection") {
			t.Errorf("%s: got %v, want the server's refusal", url, err)
		}
	}
}

// authHook gives a hook its options.
type authHook struct {
	*auth.Hook
	options *auth.Options
}

// Init implements [mochi.Hook].
func (h authHook) Init(any) error { return h.Hook.Init(h.options) }

var _ mochi.Hook = authHook{}

func TestTLS(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	t.Cleanup(certified.Close)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	url := startServerOn(t, tls.NewListener(l, &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS13}))
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	trusting := mqttbroker.TLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13})
	connect(t, url, trusting)
	connect(t, strings.Replace(url, "mqtt:", "mqtts:", 1), trusting)

	err = mqttbroker.New(strings.Replace(url, "mqtt:", "mqtts:", 1)).Connect(t.Context())
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
		t.Errorf("without its authority: got %v, want a CertificateVerificationError", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if mqttbroker.New(url).Connect(ctx) == nil {
		t.Error("connected without TLS")
	}
}

// TestAcknowledgements says what becomes of a message by the server's answer.
func TestAcknowledgements(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(c *peer, p *packets.ControlPacket)
		want   []error
	}{
		{"success", reason(0x00), nil},
		{"no matching subscribers", reason(0x10), []error{broker.ErrNotDelivered, broker.ErrNoSubscribers}},
		{"unspecified error", reason(0x80), []error{broker.ErrNotDelivered}},
		{"not authorized", reason(0x87), []error{broker.ErrRejected}},
		{"topic name invalid", reason(0x90), []error{broker.ErrRejected}},
		{"quota exceeded", reason(0x97), []error{broker.ErrNotDelivered, broker.ErrBackpressure}},
		{"payload format invalid", reason(0x99), []error{broker.ErrRejected}},
		{"none", func(*peer, *packets.ControlPacket) {}, []error{broker.ErrUncertain, context.DeadlineExceeded}},
		{"none, and the connection ends", func(c *peer, _ *packets.ControlPacket) { c.fake.cut() }, []error{broker.ErrUncertain}},
		{"disconnect", func(c *peer, _ *packets.ControlPacket) {
			c.send(&packets.Disconnect{ReasonCode: packets.DisconnectPacketTooLarge, Properties: &packets.Properties{}})
		}, []error{broker.ErrUncertain}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := connect(t, startFake(t, &fake{handle: test.answer}).url)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			err := b.Publish(ctx, "t", &broker.Message{})
			if len(test.want) == 0 && err != nil {
				t.Errorf("got %v, want success", err)
			}
			for _, want := range test.want {
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
		})
	}
}

func reason(code byte) func(*peer, *packets.ControlPacket) {
	return func(c *peer, p *packets.ControlPacket) { c.puback(p, code) }
}

// TestRefusedAtOnce are messages of which the server sees nothing.
func TestRefusedAtOnce(t *testing.T) {
	seen := make(chan struct{}, 1)
	limit := uint32(1000)
	f := startFake(t, &fake{
		connack: func(*packets.Connect) *packets.Connack {
			return &packets.Connack{Properties: &packets.Properties{MaximumPacketSize: &limit}}
		},
		handle: func(*peer, *packets.ControlPacket) { seen <- struct{}{} },
	})
	b := connect(t, f.url, mqttbroker.PublishWindow(1))
	err := b.Publish(t.Context(), "t", &broker.Message{Body: make([]byte, limit)})
	if !errors.Is(err, broker.ErrTooLarge) || !errors.Is(err, broker.ErrRejected) {
		t.Errorf("larger than the server takes: got %v, want ErrTooLarge and ErrRejected", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { first <- b.Publish(ctx, "t", &broker.Message{}) }()
	<-seen
	err = b.Publish(t.Context(), "t", &broker.Message{}, broker.NoWait())
	if !errors.Is(err, broker.ErrBackpressure) || !errors.Is(err, broker.ErrNotDelivered) {
		t.Errorf("with a full window: got %v, want ErrBackpressure and ErrNotDelivered", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, broker.ErrUncertain) {
		t.Errorf("sent and given up: got %v, want ErrUncertain", err)
	}
}

// TestConnectEndsWithItsContext has a server that takes connections and says nothing.
func TestConnectEndsWithItsContext(t *testing.T) {
	f := startFake(t, &fake{connack: func(*packets.Connect) *packets.Connack { return nil }})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := mqttbroker.New(f.url).Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

// logged is a log that tests wait for.
type logged struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{}
}

func newLog() *logged { return &logged{wrote: make(chan struct{}, 100)} }

// Write implements [io.Writer].
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrote <- struct{}{}
	return l.text.Write(p)
}

// await waits until the log has a text.
func (l *logged) await(text string) {
	for range l.wrote {
		l.mu.Lock()
		found := strings.Contains(l.text.String(), text)
		l.mu.Unlock()
		if found {
			return
		}
	}
}

// TestTheEndOfASession tells what is wrong when the server has forgotten the session,
// and when another client has its id.
func TestTheEndOfASession(t *testing.T) {
	f := startFake(t, &fake{})
	log := newLog()
	b := mqttbroker.New(f.url, mqttbroker.ClientID("orders-0"), broker.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	must(t, b.Connect(t.Context()))
	t.Cleanup(func() { must(t, b.Disconnect(context.WithoutCancel(t.Context()))) })
	_, err := b.Subscribe(t.Context(), "t", func(context.Context, *broker.Delivery) error { return nil }, broker.Queue("q"))
	must(t, err)
	f.cut()
	log.await("the server has lost the session: what it kept for it is lost")
	f.member().send(&packets.Disconnect{ReasonCode: packets.DisconnectSessionTakenOver, Properties: &packets.Properties{}})
	log.await("give each process a ClientID of its own")
}

// TestAcknowledgementsInOrder lets the second message be handled before the first one.
func TestAcknowledgementsInOrder(t *testing.T) {
	ids := make(chan uint16, 2)
	f := startFake(t, &fake{handle: func(_ *peer, p *packets.ControlPacket) {
		if p.Type == packets.PUBACK {
			ids <- p.PacketID()
		}
	}})
	b := connect(t, f.url, mqttbroker.ClientID("orders-0"))
	second := make(chan struct{})
	_, err := b.Subscribe(t.Context(), "t", func(ctx context.Context, d *broker.Delivery) error {
		if string(d.Message.Body) == "second" {
			close(second)
			return nil
		}
		select {
		case <-second:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, broker.Queue("q"), broker.MaxInFlight(2))
	must(t, err)
	member := f.member()
	member.publish("t", 7, "first")
	member.publish("t", 3, "second")
	if a, b := <-ids, <-ids; a != 7 || b != 3 {
		t.Errorf("acknowledged: got %d and %d, want 7 and 3, as they came", a, b)
	}
}

// TestClientIDs are those of the members of one process, in the order in which places
// are free.
func TestClientIDs(t *testing.T) {
	var mu sync.Mutex
	var ids []string
	f := startFake(t, &fake{connack: func(c *packets.Connect) *packets.Connack {
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, c.ClientID)
		return &packets.Connack{Properties: &packets.Properties{}}
	}})
	one, two := connect(t, f.url, mqttbroker.ClientID("orders-0")), connect(t, f.url, mqttbroker.ClientID("orders-0"))
	subscribe := func(b broker.Broker, topic string) broker.Subscriber {
		s, err := b.Subscribe(t.Context(), topic, func(context.Context, *broker.Delivery) error { return nil }, broker.Queue("q"))
		must(t, err)
		return s
	}
	first := subscribe(one, "t")
	subscribe(two, "t")
	subscribe(two, "other")
	must(t, first.Unsubscribe(t.Context()))
	subscribe(two, "t")
	mu.Lock()
	defer mu.Unlock()
	members := ids[2:]
	if members[0] != members[3] || members[0] == members[1] || members[0] == members[2] || members[1] == members[2] {
		t.Errorf("client ids: got %q, want the first and the last one equal, the others different", members)
	}
	for _, id := range members {
		if !strings.HasPrefix(id, "orders-0-") {
			t.Errorf("client id: got %q, want one that begins with ClientID", id)
		}
	}
}
