// Package eventtest helps to test code that publishes and handles events.
//
// A [Recorder] takes the place of the client, without a broker. It does
// everything that a client does up to the broker: it checks the event and the
// headers, makes the message and encodes the body. What a client would refuse, it
// refuses. [Published], [RecordsOf] and [Wait] look at what was published. A
// handler is a function and is called as one, with a context made by
// event.NewContext where it asks for the event's attributes.
//
// [NewBroker] is for tests of publishers and handlers together: a broker in
// process that logs to the test, and that can be told to fail, delay, duplicate
// and reorder messages.
//
// [IDs] and [Clock] make ids and times that a test can foresee.
package eventtest
