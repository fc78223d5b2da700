// Kafka publishes and handles an event over Kafka.
package main

import (
	"log"
	"os"

	"github.com/micro-event/micro-event/benchmarks/size/shop"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
)

func main() {
	if err := shop.Run(kafkabroker.New(os.Args[1])); err != nil {
		log.Fatal(err)
	}
}
