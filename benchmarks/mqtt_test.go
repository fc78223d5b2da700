package benchmarks

import (
	"context"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	mqttbroker "github.com/micro-event/micro-event/runtime/broker/mqtt"
)

// BenchmarkMQTT publishes to a session whose client is away.
func BenchmarkMQTT(b *testing.B) {
	address, topic := server(b, "MICRO_EVENT_MQTT"), topic()
	name := strings.ReplaceAll(topic, ".", "/")
	sink := mqttClient(b, address, "sink", 3600)
	_, err := sink.Subscribe(b.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: name, QoS: 1}}})
	must(b, err)
	must(b, sink.Disconnect(&paho.Disconnect{}))
	b.Cleanup(func() { must(b, mqttClient(b, address, "sink", 0).Disconnect(&paho.Disconnect{})) })
	client := mqttClient(b, address, "raw", 0)
	b.Cleanup(func() { must(b, client.Disconnect(&paho.Disconnect{})) })

	sync, _ := ours(b, connect(b, mqttbroker.New(address)), topic)
	raw := each("raw", func() error {
		_, err := client.Publish(context.Background(), mqttMessage(name))
		return err
	})
	b.Run("sync-1", func(b *testing.B) { measure(b, 1, raw, sync) })
	b.Run("sync-64", func(b *testing.B) { measure(b, 64, raw, sync) })
}

// mqttClient returns a client of the library, whose session is new.
func mqttClient(b *testing.B, address, id string, expiry uint32) *paho.Client {
	b.Helper()
	u, err := url.Parse(address)
	must(b, err)
	conn, err := net.Dial("tcp", u.Host) //nolint:noctx // a benchmark
	must(b, err)
	c := paho.NewClient(paho.ClientConfig{Conn: packets.NewThreadSafeConn(conn)})
	password, _ := u.User.Password()
	_, err = c.Connect(context.Background(), &paho.Connect{
		ClientID: "benchmarks-" + id, CleanStart: true, KeepAlive: 30,
		Username: u.User.Username(), UsernameFlag: true, Password: []byte(password), PasswordFlag: true,
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry},
	})
	must(b, err)
	return c
}

func mqttMessage(topic string) *paho.Publish {
	properties := &paho.PublishProperties{ContentType: contentType}
	properties.User.Add("specversion", "1.0").Add("partitionkey", key)
	for name, value := range attributes {
		properties.User.Add(name, value)
	}
	return &paho.Publish{Topic: topic, QoS: 1, Payload: body, Properties: properties}
}
