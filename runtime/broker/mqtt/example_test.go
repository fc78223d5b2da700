package mqttbroker_test

import (
	"fmt"

	mqttbroker "github.com/micro-event/micro-event/runtime/broker/mqtt"
)

func ExampleNew() {
	b := mqttbroker.New("mqtts://orders:s3cret@mqtt-1", mqttbroker.ClientID("orders-0"))
	fmt.Println(b, b.Address(), b.Info().Capabilities.AtLeastOnce)
	// Output: mqtt mqtts://mqtt-1:8883 true
}
