module github.com/micro-event/micro-event/runtime/broker/mqtt

go 1.26.0

require (
	github.com/eclipse/paho.golang v0.23.0 // the client of the Eclipse project; its session state is used without autopaho, which keeps one session for all
	github.com/micro-event/micro-event v0.0.0
	github.com/mochi-mqtt/server/v2 v2.7.9
	go.uber.org/goleak v1.3.0
)

require (
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/rs/xid v1.4.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

// The adapter is built against the repository that it is part of; consumers ignore this line.
replace github.com/micro-event/micro-event => ../../..
