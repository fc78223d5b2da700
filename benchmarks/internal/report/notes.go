package report

// notes say of a group what its figures do not.
var notes = map[string]string{
	"in process": "Peers whose handler runs inside Publish, or that wait for it, have no queue: a slow handler is a slow publisher.\n\n" +
		"What uses two cores at once depends on how fast they reach what the other one has written. Virtual machines differ in that from minute to minute: on one that did nothing else " +
		"the same program took 1.15 times as long as the floor, and now and then, for some minutes, 1.4 times; the floor, which uses one core, hardly changed. Run it again if it matters: " +
		"`cd benchmarks && go run . -only \"in process\"`.",
	"HTTP": "A call returns when the handler on the other side has finished, but for go-micro's, which tells nobody what became of a message.",
	"HTTP, bytes": "The same bytes each time, which nobody encodes or decodes: what the brokers cost beside one POST for each. Ours sends the headers of an event, " +
		"with a new id.",
	"HTTP, two processes": "The publisher and the subscriber are processes of their own with `GOMAXPROCS=1`, as services have processors of their own. CPU, allocations and bytes are the publisher's. " +
		"With one caller, what takes the time is that each end is woken for each event.",
	"NATS JetStream": "`MaxInFlight(1)`, the default of a handler, asks the server for one message at a time, so that no idle member of the queue " +
		"waits for what a busy one holds: each costs a round trip. The bare client takes 500 ahead. A service that wants throughput sets " +
		"`Concurrency`, where events of one key stay in order, or `Prefetch` if its handler has to run alone.",
	"RabbitMQ":      roundTrips,
	"Redis Streams": roundTrips,
	"Kafka":         "What lies in a partition is for its member alone, so what the window holds (64) is taken ahead, whatever the concurrency.",
	"MQTT":          "Watermill has no adapter for MQTT, and the bare client no publish that returns before the confirmation and tells it later.",
	"generator": "Processes that read one request of so many messages, in files of a hundred, each with comments, options and a service " +
		"with a method for each message.",
	"growth": "Each series publishes the same message; its points take turns.\n\n" +
		"- topics, memory: allocations are flat, and the time is to 100 topics. From 1,000 on each message wakes a goroutine of its own that has long slept, " +
		"and its memory is probably no longer in the processor's caches; that was not measured apart.\n" +
		"- topics, HTTP: a request carries messages of one topic and queue. Sixteen callers on one topic share requests, on ten topics and more " +
		"hardly: the step is that of coalescing. From ten topics to a thousand the rest grows by about a third.\n" +
		"- subscribers: a publish is copied for each queue; per delivery the cost falls, for what is checked is checked once.\n" +
		"- keys: over HTTP one message of a key is on its way at a time, which is what keeps the order through retries. " +
		"One hot key is therefore as fast as one caller, whoever calls.",
	"size of the body": "From about 10 KiB on the bytes are the cost. In process that is one copy (the publisher keeps its message); over HTTP there are " +
		"four, two more than in the bare POST, which reads into a buffer that it knows the size of.",
}

const roundTrips = "As with JetStream, a handler with `MaxInFlight(1)` has one message from the server at a time, and each costs a round trip, here " +
	"with a sync of the disk in it. With 64, or with `Prefetch`, they are fetched and acknowledged together."
