// Nats publishes and handles an event over JetStream.
package main

import (
	"log"
	"os"

	"github.com/micro-event/micro-event/benchmarks/size/shop"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

func main() {
	if err := shop.Run(natsbroker.New(os.Args[1])); err != nil {
		log.Fatal(err)
	}
}
