// Package eventtest helps to test code that publishes and handles events,
// without a broker.
//
// A [Recorder] takes the place of the client. It does everything that a client
// does up to the broker: it checks the event and the headers, makes the message
// and encodes the body. What a client would refuse, it refuses. A handler is a
// function and is called as one, with a context made by event.NewContext where
// it asks for the event's attributes.
package eventtest
