// Package overhttp compares ways to hand an event to another process without a server
// between them. A call returns when the handler on the other side has finished. Both
// sides run in this process and speak over loopback, or each is a process of its own.
package overhttp

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// Group is what the results are filed under.
const Group = "HTTP"

// callers are the numbers of them that are compared.
var callers = []int{1, 8, 64}

const most = 64 // callers, and connections of each client

// Run compares them, and what is left of them without encoding and decoding.
func Run(ctx context.Context, b *measure.Bench) error {
	if err := runBytes(ctx, b); err != nil {
		return fmt.Errorf("overhttp: %w", err)
	}
	if err := runProcesses(ctx, b); err != nil {
		return fmt.Errorf("overhttp: %w", err)
	}
	var sides []measure.Side
	for _, open := range []func(context.Context, *measure.Bench) (measure.Side, error){
		bare, rawTCP, rawShared, records, typed, watermillHTTP, cloudEvents, connectUnary, gomicroHTTP,
	} {
		side, err := open(ctx, b)
		if err != nil {
			return fmt.Errorf("overhttp: %w", err)
		}
		sides = append(sides, side)
	}
	for _, n := range callers {
		if err := b.Compare(ctx, measure.Comparison{Group: Group, Name: measure.NameOfCallers(n), Callers: n, Sides: sides}); err != nil {
			return err
		}
	}
	return nil
}

// listen returns a listener on loopback.
func listen(ctx context.Context) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", "127.0.0.1:0")
}

// serve serves h until the bench is closed and returns the URL.
func serve(ctx context.Context, b *measure.Bench, h http.Handler) (string, error) {
	l, err := listen(ctx)
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	b.Cleanup(func() error {
		err := s.Close()
		if err := <-ended; err != http.ErrServerClosed { //nolint:errorlint // never wrapped
			return err
		}
		return err
	})
	return "http://" + l.Addr().String(), nil
}

// client returns one that keeps a connection for every caller.
func client(b *measure.Bench) *http.Client {
	c := &http.Client{Transport: transport()}
	b.Cleanup(func() error {
		c.CloseIdleConnections()
		return nil
	})
	return c
}

func transport() *http.Transport {
	return &http.Transport{MaxIdleConns: most, MaxIdleConnsPerHost: most}
}

// order returns the next of many, as customers place them: events of one order are in
// order, and so those of different orders may be on their way together.
func order() *ordersv1.OrderCreated { return orders[turn.Add(1)%uint64(len(orders))] }

var (
	orders = sample.Orders() // read only
	turn   atomic.Uint64
)

// marshal encodes the next event, as each call does.
func marshal() ([]byte, error) { return proto.Marshal(order()) }

// handle decodes a body and counts it, as each handler does.
func handle(counter *measure.Counter, body []byte) error {
	if err := proto.Unmarshal(body, new(ordersv1.OrderCreated)); err != nil {
		return err
	}
	counter.Add()
	return nil
}
