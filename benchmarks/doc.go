// Package benchmarks compares publishing through the brokers of this repository
// with the bare client of each transport and with Watermill's adapter, in turns
// within one run:
//
//	eval "$(../scripts/services up nats kafka)"
//	go test -run '^$' -bench . -benchtime 20x
//
// All sides wait for the same confirmation and send the same headers and body.
// Servers are processes of their own, so that allocations are the client's.
package benchmarks
