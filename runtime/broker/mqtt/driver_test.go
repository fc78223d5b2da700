package mqttbroker_test

import (
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
	"github.com/eclipse/paho.golang/paho"
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
			b := connect(t, startFake(t, &fake{suback: 1, handle: test.answer}).url)
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
		suback: 1,
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
	f := startFake(t, &fake{suback: 1, connack: func(*packets.Connect) *packets.Connack { return nil }})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := mqttbroker.New(f.url).Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

// TestDisconnectWithAMessageOnItsWay must not say that it was certainly not taken.
func TestDisconnectWithAMessageOnItsWay(t *testing.T) {
	for name, deaf := range map[string]bool{"the server closes the connection": false, "it does not": true} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan struct{}, 1)
			f := startFake(t, &fake{suback: 1, deaf: deaf, handle: func(*peer, *packets.ControlPacket) { sent <- struct{}{} }})
			b := mqttbroker.New(f.url, broker.WithLogger(slog.New(slog.DiscardHandler)))
			must(t, b.Connect(t.Context()))
			published := make(chan error, 1)
			go func() { published <- b.Publish(t.Context(), "t", &broker.Message{}) }()
			<-sent
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_ = b.Disconnect(ctx) //nolint:errcheck // it says that it has cut the publish off
			if err := <-published; !errors.Is(err, broker.ErrUncertain) {
				t.Errorf("got %v, want ErrUncertain", err)
			}
		})
	}
}

// TestABatchLargerThanTheWindow keeps the order.
func TestABatchLargerThanTheWindow(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	f := startFake(t, &fake{suback: 1, handle: func(c *peer, p *packets.ControlPacket) {
		mu.Lock()
		bodies = append(bodies, string(p.Content.(*packets.Publish).Payload)) //nolint:forcetypeassert // nothing else comes
		mu.Unlock()
		c.puback(p, 0)
	}})
	b := connect(t, f.url, mqttbroker.PublishWindow(2))
	var ms []*broker.Message
	for body := range strings.SplitSeq("abcdefghij", "") {
		ms = append(ms, &broker.Message{Body: []byte(body)})
	}
	if errs := b.PublishBatch(t.Context(), "t", ms); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(bodies, ""); got != "abcdefghij" {
		t.Errorf("got %q, want the messages in their order", got)
	}
}

// TestConnectPackets shows what options and the package make of CONNECT.
func TestConnectPackets(t *testing.T) {
	packet := make(chan *packets.Connect, 2)
	f := startFake(t, &fake{suback: 1, connack: func(c *packets.Connect) *packets.Connack {
		packet <- c
		return &packets.Connack{Properties: &packets.Properties{}}
	}})
	b := connect(t, f.url, mqttbroker.ClientID("orders-0"), mqttbroker.SessionExpiry(time.Minute), mqttbroker.ReceiveMaximum(7),
		mqttbroker.ConnectPacket(func(p *paho.Connect) {
			p.Username, p.UsernameFlag = "changed", true
			p.ClientID, p.CleanStart, p.Properties = "other", true, nil
		}))
	_, err := b.Subscribe(t.Context(), "t", func(context.Context, *broker.Delivery) error { return nil }, broker.Queue("q"))
	must(t, err)
	for _, test := range []struct {
		who    string
		clean  bool
		expiry uint32
	}{{"publisher", true, 0}, {"member", false, 60}} {
		p := <-packet
		expiry, receive := *p.Properties.SessionExpiryInterval, *p.Properties.ReceiveMaximum
		if p.Username != "changed" || !strings.HasPrefix(p.ClientID, "orders-0-") || p.CleanStart != test.clean ||
			expiry != test.expiry || receive != 7 {
			t.Errorf("%s: got user %q, client %q, clean start %v, expiry %d, receive maximum %d, want changed, orders-0-..., %v, %d, 7",
				test.who, p.Username, p.ClientID, p.CleanStart, expiry, receive, test.clean, test.expiry)
		}
	}
}
