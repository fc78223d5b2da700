package natsbroker

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/micro-event/micro-event/runtime/broker"
)

// delivery is the Value of a Raw.
type delivery struct {
	reply  string
	record broker.Record
	err    error // of decoding it
}

func newRaw(m *nats.Msg) broker.Raw {
	d := &delivery{reply: m.Reply}
	d.record, d.err = newRecord(m)
	return broker.Raw{Key: d.record.Key, Deliveries: deliveries(m.Reply), Value: d}
}

// deliveries reads the count from an ack subject:
//
//	$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<deliveries>.<...>.<pending>[.<token>]
func deliveries(reply string) int {
	const short, long = 9, 11
	at := 4
	if parts := strings.Count(reply, ".") + 1; parts >= long {
		at = 6
	} else if parts != short {
		return 0
	}
	for range at {
		_, reply, _ = strings.Cut(reply, ".")
	}
	count, _, _ := strings.Cut(reply, ".")
	n, err := strconv.Atoi(count)
	if err != nil {
		return 0
	}
	return n
}

func deliveryOf(r *broker.Raw) *delivery {
	return r.Value.(*delivery) //nolint:forcetypeassert // newRaw puts nothing else there
}
