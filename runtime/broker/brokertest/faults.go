package brokertest

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/micro-event/micro-event/runtime/broker"
)

// MessagesVariable is the environment variable that says how many messages
// [RunFaults] publishes in each of its tests.
const MessagesVariable = "MICRO_EVENT_MESSAGES"

// DefaultFaultMessages is how many they are otherwise.
const DefaultFaultMessages = 1000

// Variables of a process that is a member of a queue.
const (
	memberURL   = "BROKERTEST_MEMBER_URL"
	memberTopic = "BROKERTEST_MEMBER_TOPIC"
)

const faultQueue = "q"

// Faults says how a server and its clients are broken on purpose.
type Faults struct {
	// URL is where the server is.
	URL string

	// Open makes a broker on the server at url, which is URL or leads there through
	// a proxy. Its ack clock, if it has one, should be short.
	Open func(url string, opts ...broker.Option) broker.Broker

	// Restart kills the server and returns when a new one listens that has what the
	// old one had stored. Nil: the test of it is skipped.
	Restart func(t testing.TB)

	// Settle makes the server remember a queue through a crash, for servers that say
	// so some time before they do. It is called when the queue exists, before Restart.
	// Nil: nothing needs to be done.
	Settle func(t testing.TB)

	// UnorderedCuts and UnorderedRestarts say that messages of a key may be handled
	// behind newer ones when connections are cut, and when the server was killed.
	UnorderedCuts, UnorderedRestarts bool

	// Returns says that what a member held when it was killed waits for it and goes to
	// nobody else, so that it must come back.
	Returns bool

	// NoProxy says why clients do not go through a proxy; the test that needs one is
	// skipped.
	NoProxy string
}

// RunFaults publishes many messages while the server restarts, while connections
// are cut and while a member is killed, and compares what Publish returned with
// what was handled: all that was taken must be, nothing whose Publish had certainly
// failed, and the messages of a key in their order. TestMain must call
// [ServeMember].
func RunFaults(t *testing.T, f Faults) {
	t.Helper()
	t.Run("the server restarts", f.throughRestarts)
	t.Run("connections are cut", f.throughCuts)
	t.Run("a member is killed", f.withoutAMember)
}

// messages returns how many to publish.
func messages(t testing.TB) int {
	t.Helper()
	text := os.Getenv(MessagesVariable)
	if text == "" {
		return DefaultFaultMessages
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 10*ledgerKeys {
		t.Fatalf("%s is %q, want a number of at least %d", MessagesVariable, text, 10*ledgerKeys)
	}
	return n
}

// connect returns a connected broker that is disconnected when the test ends.
func (f Faults) connect(t testing.TB, url string) broker.Broker {
	t.Helper()
	b := f.Open(url, broker.WithLogger(slog.New(slog.DiscardHandler)))
	ctx, cancel := context.WithTimeout(t.Context(), ledgerPatience)
	defer cancel()
	if err := b.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), ledgerPatience)
		defer cancel()
		if err := b.Disconnect(ctx); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	})
	return b
}

// subscribe makes a member of the queue.
func (f Faults) subscribe(t testing.TB, b broker.Broker, topic string, h broker.Handler) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ledgerPatience)
	defer cancel()
	if _, err := b.Subscribe(ctx, topic, h, broker.Queue(faultQueue), broker.MaxInFlight(ledgerKeys)); err != nil {
		t.Fatal(err)
	}
}

// newFaultTopic returns a topic that a server which outlives the test has not seen.
func newFaultTopic() string { return fmt.Sprintf("%s.faults.%s", TopicPrefix, newRunID()) }

// throughRestarts restarts the server at one third and at one half.
func (f Faults) throughRestarts(t *testing.T) {
	if f.Restart == nil {
		t.Skip("needs Faults.Restart")
	}
	n := messages(t)
	l := f.disturb(t, f.URL, f.Settle, []int{n / 3, n / 2}, func() { f.Restart(t) })
	l.check(!f.UnorderedRestarts)
}

// throughCuts cuts all connections five times.
func (f Faults) throughCuts(t *testing.T) {
	if f.NoProxy != "" {
		t.Skip("Faults.NoProxy: " + f.NoProxy)
	}
	u, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	p := StartProxy(t, u.Host)
	u.Host = p.Address()
	const cuts = 5
	n := messages(t)
	var at []int
	for i := range cuts {
		at = append(at, (i+1)*n/(cuts+2))
	}
	l := f.disturb(t, u.String(), nil, at, p.Cut)
	l.check(!f.UnorderedCuts)
}

// disturb publishes and handles, calls strike when so many messages as at says were
// published, and returns when all was handled that was taken.
func (f Faults) disturb(t *testing.T, url string, settle func(testing.TB), at []int, strike func()) *ledger {
	t.Helper()
	n, l, topic := messages(t), newLedger(t), newFaultTopic()
	publisher, subscriber := f.connect(t, url), f.connect(t, url)
	f.subscribe(t, subscriber, topic, l.handle)
	if settle != nil {
		settle(t)
	}
	var publishing sync.WaitGroup
	publishing.Go(func() { l.publish(publisher, topic, n) })
	for _, published := range at {
		l.awaitPublished(published)
		strike()
	}
	publishing.Wait()
	l.awaitTaken()
	if len(l.taken) < n/2 {
		t.Errorf("taken: got %d of %d messages, want at least half", len(l.taken), n)
	}
	return l
}

// withoutAMember kills a process in the middle of its work. What it had not
// acknowledged goes to the member that is left, or to the same one when it is back.
func (f Faults) withoutAMember(t *testing.T) {
	n, l, topic := messages(t), newLedger(t), newFaultTopic()
	b := f.connect(t, f.URL)
	kill := f.startMember(t, l, topic)
	var publishing sync.WaitGroup
	publishing.Go(func() { l.publish(b, topic, n) })
	l.awaitHandled(n / 10)
	f.subscribe(t, b, topic, l.handle)
	l.awaitHandled(n / 4)
	kill()
	if f.Returns {
		t.Cleanup(f.startMember(t, l, topic))
	}
	publishing.Wait()
	l.awaitTaken()
	l.check(false) // two members do not keep the order of a key
	if want := n/ledgerKeys*ledgerKeys + ledgerKeys; len(l.taken) != want {
		t.Errorf("taken: got %d messages, want all %d", len(l.taken), want)
	}
}

// startMember starts a process that is a member of the queue and tells the ledger
// what it has handled. It returns when the member is ready.
func (f Faults) startMember(t *testing.T, l *ledger, topic string) (kill func()) {
	t.Helper()
	process := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // the test itself
	process.Env = append(os.Environ(), memberURL+"="+f.URL, memberTopic+"="+topic)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != memberReady {
		t.Fatalf("the member said %q, want %q: %v", lines.Text(), memberReady, lines.Err())
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines.Scan() {
			if err := l.note(lines.Text()); err != nil {
				t.Error(err)
			}
		}
	})
	return func() {
		if err := process.Process.Kill(); err != nil {
			t.Error(err)
		}
		reading.Wait()
		if err := process.Wait(); err == nil {
			t.Error("the member ended by itself")
		}
	}
}

const memberReady = "ready"

// ServeMember does not return in a process that [RunFaults] started: it is a member
// of a queue until it is killed, and says on standard output what it handles. In
// any other process it does nothing.
func ServeMember(open func(url string, opts ...broker.Option) broker.Broker) {
	url := os.Getenv(memberURL)
	if url == "" {
		return
	}
	b := open(url)
	if err := b.Connect(context.Background()); err != nil {
		panic(err)
	}
	_, err := b.Subscribe(context.Background(), os.Getenv(memberTopic), func(_ context.Context, d *broker.Delivery) error {
		_, err := fmt.Fprintln(os.Stdout, string(d.Message.Body))
		return err
	}, broker.Queue(faultQueue), broker.MaxInFlight(ledgerKeys))
	if err != nil {
		panic(err)
	}
	if _, err := fmt.Fprintln(os.Stdout, memberReady); err != nil {
		panic(err)
	}
	select {}
}
