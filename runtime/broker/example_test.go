package broker_test

import (
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
)

// A driver that takes messages in by a door of its own refuses there what no broker
// would carry.
func ExampleCheckRecord() {
	r := &broker.Record{Header: []broker.Field{{Name: "tenant", Value: "\xff"}}}
	fmt.Println(broker.CheckRecord(r))
	// Output: invalid header "tenant": the value is not UTF-8
}
