package rabbitmqbroker_test

import (
	"fmt"

	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"
)

func ExampleNew() {
	b := rabbitmqbroker.New("amqps://orders:s3cret@rabbit-1/shop", rabbitmqbroker.PublishWindow(256))
	fmt.Println(b, b.Address())
	// Output: rabbitmq amqps://rabbit-1/shop
}
