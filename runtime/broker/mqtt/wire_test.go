package mqttbroker

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/micro-event/micro-event/runtime/broker"
)

// event are the headers that make a message an event.
func event(more ...broker.Field) []broker.Field {
	return append([]broker.Field{{Name: "ce-id", Value: "1"}, {Name: "ce-source", Value: "/s"}, {Name: "ce-type", Value: "t"}}, more...)
}

// received returns what a subscriber is given.
func received(t testing.TB, p *packets.Publish) *paho.Publish {
	t.Helper()
	var b bytes.Buffer
	if _, err := p.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	in, err := packets.ReadPacket(&b)
	if err != nil {
		t.Fatal(err)
	}
	return paho.PublishFromPacketPublish(in.Content.(*packets.Publish)) //nolint:forcetypeassert // it was one
}

// TestWire shows the properties of messages, and that they come back as they were.
func TestWire(t *testing.T) {
	for _, test := range []struct {
		name   string
		key    string
		header []broker.Field
		want   string // properties, in their order; "" for headers before the body
	}{
		{"an event", "k", event(), "id=1 source=/s type=t specversion=1.0 partitionkey=k"},
		{"an extension", "", event(broker.Field{Name: "ce-dataschema", Value: "d"}), "id=1 source=/s type=t dataschema=d specversion=1.0"},
		{"a header like an attribute", "", event(broker.Field{Name: "tenant", Value: "acme"}, broker.Field{Name: "x", Value: ""}), "id=1 source=/s type=t tenant=acme x= specversion=1.0 micro-plain=tenant x"},
		{"a header unlike one", "", event(broker.Field{Name: "x-tenant", Value: "ü"}), "id=1 source=/s type=t x-tenant=ü specversion=1.0"},
		{"an attribute that cannot be one", "", event(broker.Field{Name: "ce-a-b", Value: "1"}), "id=1 source=/s type=t ce-a-b=1 specversion=1.0"},
		{"no event", "k", []broker.Field{{Name: "ce-id", Value: "1"}, {Name: "tenant", Value: "acme"}}, "ce-id=1 tenant=acme partitionkey=k"},
		{"a content type", "", []broker.Field{{Name: "content-type", Value: "text/plain"}}, "content-type text/plain"},
		{"no content type", "", []broker.Field{{Name: "content-type", Value: ""}}, ""},
		{"an attribute and a header of one name", "", event(broker.Field{Name: "id", Value: "2"}), ""},
		{"a version", "", event(broker.Field{Name: "ce-specversion", Value: "1.0"}), ""},
		{"what looks like a version", "", []broker.Field{{Name: "specversion", Value: "1.0"}}, ""},
		{"what looks like a key", "", []broker.Field{{Name: "partitionkey", Value: "k"}}, ""},
		{"names of ours", "", []broker.Field{{Name: "micro-packed", Value: "1"}, {Name: "micro-plain", Value: "a"}}, ""},
		{"control characters", "k", []broker.Field{{Name: "a\x00", Value: "b\r\n"}}, ""},
		{"no characters", "k", []broker.Field{{Name: "a", Value: "\ufffe"}}, ""},
		{"control characters in the key", "a\x00b", event(), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := broker.Record{Key: test.key, Header: test.header, Body: []byte("body")}
			p := newPublish("orders.created", &r)
			if p.Topic != "orders/created" || p.QoS != 1 {
				t.Errorf("got topic %q with QoS %d, want orders/created with 1", p.Topic, p.QoS)
			}
			if got := properties(p); test.want != "" && got != test.want || test.want == "" && !strings.Contains(got, packedProperty) {
				t.Errorf("properties: got %q, want %q", got, test.want)
			}
			if size := packetSize(p); size < encodedSize(t, p) {
				t.Errorf("size: got %d, want at least %d", size, encodedSize(t, p))
			}
			got, err := newRecord(received(t, p))
			if err != nil {
				t.Fatal(err)
			}
			checkSame(t, got, r)
		})
	}
}

func properties(p *packets.Publish) string {
	if p.Properties.ContentType != "" {
		return "content-type " + p.Properties.ContentType
	}
	var all []string
	for _, u := range p.Properties.User {
		all = append(all, u.Key+"="+u.Value)
	}
	return strings.Join(all, " ")
}

func encodedSize(t testing.TB, p *packets.Publish) int {
	t.Helper()
	var b bytes.Buffer
	if _, err := p.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}

func checkSame(t testing.TB, got, want broker.Record) {
	t.Helper()
	byName := func(a, b broker.Field) int { return strings.Compare(a.Name, b.Name) }
	g, w := slices.SortedFunc(slices.Values(got.Header), byName), slices.SortedFunc(slices.Values(want.Header), byName)
	if got.Key != want.Key || !bytes.Equal(got.Body, want.Body) || !slices.Equal(g, w) {
		t.Errorf("got %q %q %q, want %q %q %q", got.Key, g, got.Body, want.Key, w, want.Body)
	}
}

// TestOthersWire are messages of other programs.
func TestOthersWire(t *testing.T) {
	user := func(pairs ...string) paho.UserProperties {
		var u paho.UserProperties
		for i := 0; i < len(pairs); i += 2 {
			u.Add(pairs[i], pairs[i+1])
		}
		return u
	}
	for _, test := range []struct {
		name string
		user paho.UserProperties
		want []broker.Field
		key  string
	}{
		{"none", nil, nil, ""},
		{"an event with a key", user("specversion", "1.0", "id", "1", "partitionkey", "k"), []broker.Field{{Name: "ce-id", Value: "1"}}, "k"},
		{"with a prefix", user("ce-specversion", "1.0", "ce-id", "1"), []broker.Field{{Name: "ce-id", Value: "1"}, {Name: "ce-specversion", Value: "1.0"}}, ""},
		{"another version", user("specversion", "2.0"), []broker.Field{{Name: "ce-specversion", Value: "2.0"}}, ""},
		{"twice", user("a", "1", "a", "2"), []broker.Field{{Name: "a", Value: "1"}}, ""},
		{"without a name", user("", "1"), nil, ""},
	} {
		got, err := newRecord(&paho.Publish{Properties: &paho.PublishProperties{User: test.user}})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		checkSame(t, got, broker.Record{Header: test.want, Key: test.key})
	}
	for name, u := range map[string]paho.UserProperties{
		"cut short": user(packedProperty, "5"), "too many": make(paho.UserProperties, maxProperties+1),
	} {
		if _, err := newRecord(&paho.Publish{Payload: []byte("x"), Properties: &paho.PublishProperties{User: u}}); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// FuzzWire sends what a message can be.
func FuzzWire(f *testing.F) {
	f.Add("k", "ce-id", "1", "tenant", "acme", []byte("body"), true)
	f.Add("a\x00", "specversion", "1.0", "id", "", []byte{}, true)
	f.Add("", "micro-packed", "1", "content-type", "", []byte("body"), false)
	f.Add("k", "ce-id", "ü\u0085", "micro-plain", "a b", []byte("body"), false)
	f.Fuzz(func(t *testing.T, key, name1, value1, name2, value2 string, body []byte, isEvent bool) {
		r := broker.Record{Key: key, Body: body, Header: []broker.Field{{Name: name1, Value: value1}, {Name: name2, Value: value2}}}
		if name1 == name2 || broker.CheckRecord(&r) != nil {
			return
		}
		if isEvent {
			for _, f := range event() {
				if f.Name != name1 && f.Name != name2 {
					r.Header = append(r.Header, f)
				}
			}
		}
		got, err := newRecord(received(t, newPublish("t", &r)))
		if err != nil {
			t.Fatal(err)
		}
		checkSame(t, got, r)
	})
}
