package redisbroker_test

import (
	"fmt"
	"time"

	redisbroker "github.com/micro-event/micro-event/runtime/broker/redis"
)

func ExampleNew() {
	b := redisbroker.New("rediss://orders:s3cret@redis-1:6379/0", redisbroker.AckWait(time.Minute))
	fmt.Println(b, b.Address())
	// Output: redis rediss://redis-1:6379/0
}
