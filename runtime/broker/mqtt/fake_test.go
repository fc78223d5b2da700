package mqttbroker_test

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"
)

// fake is a server for what no real one does on demand. It takes connections and
// subscriptions; what it does with other packets is the test's.
type fake struct {
	testing.TB
	url string

	connack func(*packets.Connect) *packets.Connack // nil: success
	handle  func(c *peer, p *packets.ControlPacket)
	suback  byte // answers SUBSCRIBE
	deaf    bool // it does not close the connection when a client disconnects

	mu      sync.Mutex
	peers   []*peer
	serving sync.WaitGroup
}

// peer is a connection of the fake.
type peer struct {
	net.Conn
	fake   *fake
	client string
}

// startFake starts a server, which ends with the test.
func startFake(t testing.TB, f *fake) *fake {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	f.TB, f.url = t, "mqtt://"+l.Addr().String()
	f.serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p := &peer{Conn: c, fake: f}
			f.mu.Lock()
			f.peers = append(f.peers, p)
			f.mu.Unlock()
			f.serving.Go(p.serve)
		}
	})
	t.Cleanup(func() {
		must(t, l.Close())
		f.cut()
		f.serving.Wait()
	})
	return f
}

// cut closes all connections.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.peers {
		_ = p.Close() //nolint:errcheck // it may be closed already
	}
}

// member returns the newest connection of the first member of a queue.
func (f *fake) member() *peer {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range slices.Backward(f.peers) {
		if strings.HasSuffix(p.client, "-0") {
			return p
		}
	}
	f.Fatal("no member has connected")
	return nil
}

func (p *peer) serve() {
	for {
		in, err := packets.ReadPacket(p)
		if err != nil {
			return
		}
		switch in.Type {
		case packets.CONNECT:
			request := in.Content.(*packets.Connect) //nolint:forcetypeassert // by its type
			p.fake.mu.Lock()
			p.client = request.ClientID
			p.fake.mu.Unlock()
			answer := &packets.Connack{Properties: &packets.Properties{}}
			if p.fake.connack != nil {
				answer = p.fake.connack(request)
			}
			if answer == nil {
				continue
			}
			p.send(answer)
		case packets.SUBSCRIBE:
			p.send(&packets.Suback{PacketID: in.PacketID(), Reasons: []byte{p.fake.suback}, Properties: &packets.Properties{}})
		case packets.PINGREQ:
			p.send(&packets.Pingresp{})
		case packets.DISCONNECT:
			if !p.fake.deaf {
				_ = p.Close() //nolint:errcheck // the client may be faster
			}
		default:
			if p.fake.handle != nil {
				p.fake.handle(p, in)
			}
		}
	}
}

// send sends a packet, unless the connection is gone.
func (p *peer) send(content packets.Packet) {
	_, _ = content.WriteTo(p) //nolint:errcheck // see above
}

// puback acknowledges a message with a reason.
func (p *peer) puback(in *packets.ControlPacket, reason byte) {
	p.send(&packets.Puback{PacketID: in.PacketID(), ReasonCode: reason, Properties: &packets.Properties{}})
}

// publish sends a message.
func (p *peer) publish(topic string, id uint16, body string) {
	p.send(&packets.Publish{Topic: topic, QoS: 1, PacketID: id, Payload: []byte(body), Properties: &packets.Properties{}})
}
