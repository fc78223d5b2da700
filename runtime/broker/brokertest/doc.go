// Package brokertest is the conformance suite of [broker.Broker]: one named test
// for each line of the delivery contract, for every transport alike.
//
// # Joining
//
// An adapter joins with one call of [Run] and one of [RunBenchmarks], and gives
// them a [NewBroker]: a function that makes brokers of its own. All brokers that
// it makes must be connections to the same storage, as processes are to one
// server; the suite opens several where a line is about more than one process.
// A transport that lives inside the process does that with [Share].
//
//	func TestConformance(t *testing.T) {
//		brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
//			return natsbroker.New(server.ClientURL(), opts...)
//		}, brokertest.Features{})
//	}
//
// # Differences
//
// What a transport can do is read from its [broker.Capabilities]; what cannot be
// known from them is said in [Features]. A test that needs what is not there is
// skipped and says so, and where the contract wants an option refused instead,
// the refusal is tested. A line that a transport breaks for a good reason is
// named in Features.Skip with that reason.
//
// # Faults
//
// [RunFaults] is for transports with a server of their own: it restarts the server,
// cuts connections and kills a process that is a member of a queue, under load, and
// counts. The process is the test program itself:
//
//	func TestMain(m *testing.M) {
//		brokertest.ServeMember(open)
//		os.Exit(m.Run())
//	}
//
//	func TestFaults(t *testing.T) {
//		brokertest.RunFaults(t, brokertest.Faults{URL: url, Open: open, Restart: restart})
//	}
//
// [PublishAllocations] counts what a publish allocates, for a test that holds a budget.
//
// # How the tests work
//
// A test is named after its line: P publish, S subscriptions, H handler outcome,
// U stopping, M messages and headers. Topics are new in each test, queues too.
// What must happen is waited for, at most Features.Deadline; what must not
// happen is never waited for: a later message, the fence, shows that its time
// has passed. The stacks of all goroutines are compared at the end of each test.
// The suite should be run under the race detector.
package brokertest
