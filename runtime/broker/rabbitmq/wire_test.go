package rabbitmqbroker

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/micro-event/micro-event/runtime/broker"
)

// TestEventsOfOthers reads what programs with another library send.
func TestEventsOfOthers(t *testing.T) {
	got, err := newRecord(&amqp.Delivery{
		ContentType: "application/json",
		Body:        []byte("{}"),
		Headers: amqp.Table{
			"cloudEvents:specversion": "1.0", "cloudEvents:id": "1", "cloudEvents_source": "/shop",
			"cloudEvents:sequence": int32(7), "x-delivery-count": int64(2), "x-death": []any{}, "retry": true, "note": []byte("n"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []broker.Field{
		{Name: "ce-id", Value: "1"},
		{Name: "ce-sequence", Value: "7"},
		{Name: "ce-source", Value: "/shop"},
		{Name: "content-type", Value: "application/json"},
		{Name: "note", Value: "n"},
		{Name: "retry", Value: "true"},
	}
	slices.SortFunc(got.Header, func(a, b broker.Field) int { return strings.Compare(a.Name, b.Name) })
	if !reflect.DeepEqual(got.Header, want) {
		t.Errorf("header:\ngot  %v\nwant %v", got.Header, want)
	}
}

// TestAwkwardHeaders sends what would mean something on the way.
func TestAwkwardHeaders(t *testing.T) {
	for name, test := range map[string]struct {
		field  broker.Field
		packed bool
	}{
		"an attribute":              {broker.Field{Name: "ce-id", Value: "1"}, false},
		"a header of an HTTP user":  {broker.Field{Name: "x-request-id", Value: "1"}, false},
		"no value":                  {broker.Field{Name: "h"}, false},
		"more queues":               {broker.Field{Name: "CC", Value: "other"}, true},
		"the key":                   {broker.Field{Name: keyHeader, Value: "k"}, true},
		"a name of the binding":     {broker.Field{Name: "cloudEvents:id", Value: "1"}, true},
		"a name of the server":      {broker.Field{Name: "x-death", Value: "1"}, true},
		"the version":               {broker.Field{Name: "ce-specversion", Value: "1.0"}, true},
		"a name too long to prefix": {broker.Field{Name: "ce-" + strings.Repeat("n", 252), Value: "1"}, true},
		"no content type":           {broker.Field{Name: contentType}, true},
		"a long content type":       {broker.Field{Name: contentType, Value: strings.Repeat("t", 256)}, true},
		"more than a frame":         {broker.Field{Name: "h", Value: strings.Repeat("v", maxHeaderBytes)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newPublishing(&broker.Record{Key: "key", Body: []byte("body"), Header: []broker.Field{test.field}})
			if _, packed := m.Headers[packedHeader]; packed != test.packed {
				t.Errorf("packed: got %v, want %v", packed, test.packed)
			}
			got, err := newRecord(&amqp.Delivery{Headers: m.Headers, ContentType: m.ContentType, Body: m.Body})
			if err != nil {
				t.Fatal(err)
			}
			if got.Key != "key" || string(got.Body) != "body" || !slices.Equal(got.Header, []broker.Field{test.field}) {
				t.Errorf("got key %q, body %q, header %.80q", got.Key, got.Body, got.Header)
			}
		})
	}
}

func TestPackedHeadersThatAreCutShort(t *testing.T) {
	packed, _ := broker.PackHeader(&broker.Record{Header: []broker.Field{{Name: "name", Value: "value"}}})
	for _, size := range []string{"-1", "x", "100", "1", "5", "8"} {
		_, err := newRecord(&amqp.Delivery{Headers: amqp.Table{packedHeader: size}, Body: packed})
		if err == nil {
			t.Errorf("%s of %d bytes: got no error", size, len(packed))
		}
	}
}
