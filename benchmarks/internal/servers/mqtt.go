package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/micro-event/micro-event/runtime/broker"
	mqttbroker "github.com/micro-event/micro-event/runtime/broker/mqtt"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// mqttTarget keeps what is published in a session for each topic, whose client is away
// until it is asked what it has got. The bare client has no publish that returns before
// the confirmation and tells it later, and Watermill has no adapter.
type mqttTarget struct {
	address string
	client  *paho.Client
}

func newMQTT(address string) target { return &mqttTarget{address: address} }

func (t *mqttTarget) engine() *broker.Engine { return mqttbroker.New(t.address) }

func (t *mqttTarget) open(ctx context.Context, b *measure.Bench) (err error) {
	t.client, err = t.connect(ctx, session{id: "bench-bare"})
	if err != nil {
		return err
	}
	b.Cleanup(func() error { return t.client.Disconnect(&paho.Disconnect{}) })
	return nil
}

// session is how a client connects.
type session struct {
	id     string
	expiry uint32 // seconds
	resume bool
	got    func()
}

func (t *mqttTarget) connect(ctx context.Context, s session) (*paho.Client, error) {
	u, err := url.Parse(t.address)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	config := paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn)}
	if s.got != nil {
		config.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			if !p.Packet.Duplicate() { // the last acknowledgements of the time before may be lost
				s.got()
			}
			return true, nil
		}}
	}
	c := paho.NewClient(config)
	password, _ := u.User.Password()
	_, err = c.Connect(ctx, &paho.Connect{
		ClientID: s.id, CleanStart: !s.resume, KeepAlive: 30,
		Username: u.User.Username(), UsernameFlag: true, Password: []byte(password), PasswordFlag: true,
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &s.expiry},
	})
	return c, err
}

const tenMinutes = 600 // seconds, after which the server forgets a session

func mqttTopic(topic string) string { return strings.ReplaceAll(topic, ".", "/") }

func (t *mqttTarget) declare(ctx context.Context, topic string) error {
	c, err := t.connect(ctx, session{id: topic, expiry: tenMinutes})
	if err != nil {
		return err
	}
	_, err = c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: mqttTopic(topic), QoS: 1}}})
	return errors.Join(err, c.Disconnect(&paho.Disconnect{}))
}

// taken lets the client of the session come back and counts what it gets.
func (t *mqttTarget) taken(ctx context.Context, topic string, want int) (int, error) {
	counter := measure.NewCounter()
	c, err := t.connect(ctx, session{id: topic, expiry: tenMinutes, resume: true, got: counter.Add})
	if err != nil {
		return 0, err
	}
	n, err := counter.Wait(ctx, want)
	return n, errors.Join(err, c.Disconnect(&paho.Disconnect{}))
}

func (t *mqttTarget) send(ctx context.Context, topic string) error {
	data, err := body()
	if err != nil {
		return err
	}
	properties := &paho.PublishProperties{ContentType: sample.ContentType}
	properties.User.Add("specversion", "1.0").Add("partitionkey", sample.Key)
	for _, a := range attributes {
		properties.User.Add(a.Name, a.Value)
	}
	for _, h := range headers[len(attributes):] {
		properties.User.Add(h.Name, h.Value)
	}
	answer, err := t.client.Publish(ctx, &paho.Publish{Topic: mqttTopic(topic), QoS: 1, Payload: data, Properties: properties})
	if err == nil && answer.ReasonCode != 0 {
		return fmt.Errorf("reason code 0x%x", answer.ReasonCode)
	}
	return err
}
