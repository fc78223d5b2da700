// Kafka publishes and handles an event over Kafka.
package main

import (
	"os"

	"github.com/micro-event/micro-event/benchmarks/size/shop"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
)

func main() { shop.Run(kafkabroker.New(os.Args[1])) }
