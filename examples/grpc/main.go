// Grpc is a service that answers RPCs and handles events in one process, and
// drains both when it is told to stop.
//
//	go run . -listen localhost:8080
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os/signal"
	"syscall"

	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
)

func main() {
	address := flag.String("listen", "localhost:8080", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := listenAndRun(ctx, *address)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func listenAndRun(ctx context.Context, address string) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s, err := newService(memorybroker.New(), log.Default())
	if err != nil {
		return err
	}
	return s.run(ctx, listener)
}
