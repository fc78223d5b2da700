package main

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

// heldBroker holds each publish until it is let go.
type heldBroker struct {
	broker.Broker
	began, goOn chan struct{}
}

func (b heldBroker) Publish(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
	b.began <- struct{}{}
	<-b.goOn
	return b.Broker.Publish(ctx, topic, m, opts...)
}

func dial(t *testing.T, listener *bufconn.Listener) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient("passthrough:shop",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	})
	return connection
}

// TestRunningRPCFinishesAndItsEventIsHandled stops the service while an RPC is
// about to publish: it must still be able to, and the event must not be lost.
func TestRunningRPCFinishesAndItsEventIsHandled(t *testing.T) {
	memory := memorybroker.New(broker.WithLogger(slog.New(slog.DiscardHandler)))
	b := heldBroker{memory, make(chan struct{}, 1), make(chan struct{})}
	lines := make(lineWriter, 2)
	s, err := newService(b, log.New(lines, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 16)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, listener) }()

	connection := dial(t, listener)
	health := grpc_health_v1.NewHealthClient(connection)
	reply, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || reply.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("health %v, error %v", reply, err)
	}
	called := make(chan error, 1)
	go func() {
		called <- connection.Invoke(t.Context(), placeOrderMethod, wrapperspb.String("o-1"), &emptypb.Empty{})
	}()
	<-b.began
	cancel()
	close(b.goOn)
	if err := errors.Join(<-called, <-ended); err != nil {
		t.Fatal(err)
	}

	// The subscription may have ended before the event came. Then it waits in the
	// queue of the service for the next replica, here the same one again.
	if err := s.events.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line := <-lines; line != "bill order o-1\n" {
		t.Errorf("billing wrote %q", line)
	}
	if err := s.events.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// lineWriter passes on each line.
type lineWriter chan string

func (w lineWriter) Write(line []byte) (int, error) {
	w <- string(line)
	return len(line), nil
}

func TestRPCFailsWhenTheEventIsNotTaken(t *testing.T) {
	b := memorybroker.New(broker.WithLogger(slog.New(slog.DiscardHandler)))
	s, err := newService(b, log.New(io.Discard, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 16)
	go func() {
		if err := s.rpc.Serve(listener); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(s.rpc.Stop)
	err = dial(t, listener).Invoke(t.Context(), placeOrderMethod, wrapperspb.String("o-1"), &emptypb.Empty{})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), broker.ErrNotConnected.Error()) {
		t.Errorf("error %v", err)
	}
}
