module github.com/micro-event/micro-event/runtime/broker/redis

go 1.26.0

require (
	github.com/alicebob/miniredis/v2 v2.40.0 // tests only: a server in process
	github.com/micro-event/micro-event v0.0.0
	github.com/redis/rueidis v1.0.79 // the client: it pipelines by itself, and can be kept from sending twice
)

require go.uber.org/goleak v1.3.0 // tests only: goroutines that are left

require (
	github.com/yuin/gopher-lua v1.1.1 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

// The adapter is built against the repository that it is part of; consumers ignore this line.
replace github.com/micro-event/micro-event => ../../..
