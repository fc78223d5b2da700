package mqttbroker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session/state"

	"github.com/micro-event/micro-event/runtime/broker"
)

// keepAlive is how long the connection may be silent before each side asks for a sign
// of life; without one for as long again it is lost.
const keepAlive = 5 * time.Second

// endTimeout is how long the server may take to close a connection that has ended.
const endTimeout = time.Second

// client says how to connect.
type client struct {
	url    *url.URL
	config *config
	id     string
	keep   bool // the session, beyond the connection

	// deliver is called with each message, in their order, by one goroutine.
	deliver func(*session, *paho.Publish)
}

// session is one connection to the server. The state is what the client library knows
// of the session; Ack is replaced, so that a message is acknowledged when it was
// handled and not when it was handed over.
type session struct {
	*state.State
	client    *paho.Client
	conn      *conn
	resumed   bool // the server had the session
	maxPacket int

	once sync.Once
	gone chan struct{} // closed when it is over
	err  error         // why; read after gone
}

// Ack does nothing, see above.
func (s *session) Ack(*packets.Publish) error { return nil }

// acknowledge tells the server that a message was handled.
func (s *session) acknowledge(id uint16) error {
	return s.State.Ack(&packets.Publish{PacketID: id, QoS: 1})
}

// dial connects, within ctx.
func (c *client) dial(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := dial(ctx, c.url, c.config.tls)
	if err != nil {
		return nil, err
	}
	s := &session{State: state.NewInMemory(), conn: conn, gone: make(chan struct{}), maxPacket: math.MaxInt}
	s.client = paho.NewClient(paho.ClientConfig{
		Conn:          conn,
		Session:       s,
		PacketTimeout: callTimeout,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			c.deliver(s, r.Packet)
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) { s.close(disconnected(c.id, d)) },
		OnClientError:      s.close,
	})
	answer, err := s.client.Connect(ctx, c.packet())
	if answer != nil && answer.ReasonCode != packets.ConnackSuccess {
		return nil, refused(answer)
	}
	if err != nil {
		return nil, fmt.Errorf("no answer to CONNECT: %w", err)
	}
	s.resumed = answer.SessionPresent
	if p := answer.Properties; p != nil && p.MaximumPacketSize != nil {
		s.maxPacket = int(*p.MaximumPacketSize)
	}
	return s, nil
}

// packet returns the CONNECT packet.
func (c *client) packet() *paho.Connect {
	p := &paho.Connect{Properties: &paho.ConnectProperties{}, KeepAlive: uint16(keepAlive / time.Second)}
	if u := c.url.User; u != nil {
		password, given := u.Password()
		p.Username, p.UsernameFlag = u.Username(), true
		p.Password, p.PasswordFlag = []byte(password), given
	}
	for _, change := range c.config.change {
		change(p)
	}
	if p.Properties == nil {
		p.Properties = &paho.ConnectProperties{}
	}
	p.ClientID, p.CleanStart = c.id, !c.keep
	p.Properties.RequestProblemInfo = true
	p.Properties.TopicAliasMaximum = nil
	p.Properties.SessionExpiryInterval = new(uint32)
	if c.keep {
		*p.Properties.SessionExpiryInterval = uint32(c.config.sessionExpiry / time.Second)
	}
	receive := uint16(c.config.receive)
	p.Properties.ReceiveMaximum = &receive
	return p
}

// close ends what hangs on the session once its connection is gone.
func (s *session) close(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.gone)
		_ = s.Close() //nolint:errcheck // it tells those who wait, and returns nil
	})
}

// end ends the connection, and the session on the server too unless it is kept. The
// server closes the connection when it has read all that was sent: closed by this side
// it might lose the last acknowledgements.
func (s *session) end(keep bool) {
	d := &paho.Disconnect{}
	if !keep {
		d.Properties = &paho.DisconnectProperties{SessionExpiryInterval: new(uint32)}
	}
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	if _, err := d.Packet().WriteTo(s.conn); err == nil {
		select {
		case <-s.gone:
		case <-timer.C:
		}
	}
	_ = s.client.Disconnect(d) //nolint:errcheck // the server notices by itself
	s.close(broker.ErrClosed)
}

// Gone implements [link.Session].
func (s *session) Gone() <-chan struct{} { return s.gone }

// Err implements [link.Session].
func (s *session) Err() error { return s.err }

func (s *session) isGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// errTakenOver is what the server tells the first of two clients with the same id.
var errTakenOver = errors.New("another client has taken the id over: give each process a ClientID of its own")

// disconnected returns the reason that the server gave.
func disconnected(id string, d *paho.Disconnect) error {
	if d.ReasonCode == packets.DisconnectSessionTakenOver {
		return fmt.Errorf("mqtt: client id %q: %w", id, errTakenOver)
	}
	reason := (&packets.Disconnect{ReasonCode: d.ReasonCode}).Reason()
	if d.Properties != nil && d.Properties.ReasonString != "" {
		reason = d.Properties.ReasonString
	}
	return fmt.Errorf("mqtt: the server ended the connection: %s (0x%02x)", reason, d.ReasonCode)
}

// refused returns the reason that the server gave.
func refused(a *paho.Connack) error {
	reason := (&packets.Connack{ReasonCode: a.ReasonCode}).Reason()
	if a.Properties != nil && a.Properties.ReasonString != "" {
		reason = a.Properties.ReasonString
	}
	return fmt.Errorf("the server refuses the connection: %s (0x%02x)", reason, a.ReasonCode)
}
