package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/event"
)

// drainTimeout is less than Kubernetes' default of 30 s for a pod to end.
const drainTimeout = 25 * time.Second

// service is a gRPC server and an event server that live and end together.
type service struct {
	broker broker.Broker
	rpc    *grpc.Server
	events *event.Server
}

// newService wires the service: an RPC places an order and publishes an event,
// and a handler of that event writes the bill.
func newService(b broker.Broker, out *log.Logger) (*service, error) {
	s := &service{broker: b, rpc: grpc.NewServer(), events: event.NewServer(b, "shop")}
	s.rpc.RegisterService(&checkoutDesc, &checkout{events: event.NewClient(b, "shop/checkout")})
	grpc_health_v1.RegisterHealthServer(s.rpc, readiness{events: s.events})
	return s, ordersv1.SubscribeOrderCreated(s.events, func(_ context.Context, e *ordersv1.OrderCreated) error {
		out.Printf("bill order %s", e.GetOrderId())
		return nil
	})
}

// run serves until ctx ends and then drains. The broker belongs to both servers:
// it is connected before them and disconnected after them, so that an RPC that is
// still running can publish.
func (s *service) run(ctx context.Context, listener net.Listener) error {
	if err := s.broker.Connect(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := s.events.Start(ctx); err != nil {
		return errors.Join(err, listener.Close(), s.broker.Disconnect(ctx))
	}
	served := make(chan error, 1)
	go func() { served <- s.rpc.Serve(listener) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	return errors.Join(err, s.drain(drain))
}

// drain stops both servers at once, and then the broker.
func (s *service) drain(ctx context.Context) error {
	stopped := make(chan error, 1)
	go func() { stopped <- s.stopRPC(ctx) }()
	return errors.Join(s.events.Stop(ctx), <-stopped, s.broker.Disconnect(ctx))
}

// stopRPC lets running RPCs finish until ctx ends.
func (s *service) stopRPC(ctx context.Context) error {
	finished := make(chan struct{})
	go func() {
		s.rpc.GracefulStop()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		s.rpc.Stop()
		<-finished
		return fmt.Errorf("RPCs were cut short: %w", context.Cause(ctx))
	}
}

// readiness is the health service that Kubernetes asks: the process is ready
// while it takes events.
type readiness struct {
	grpc_health_v1.UnimplementedHealthServer
	events *event.Server
}

// Check implements grpc_health_v1.HealthServer.
func (r readiness) Check(
	ctx context.Context, _ *grpc_health_v1.HealthCheckRequest,
) (*grpc_health_v1.HealthCheckResponse, error) {
	status := grpc_health_v1.HealthCheckResponse_SERVING
	if r.events.Health(ctx) != nil {
		status = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	return &grpc_health_v1.HealthCheckResponse{Status: status}, nil
}
