package kafkabroker_test

import (
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/micro-event/micro-event/runtime/broker"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
)

// count returns how many messages a test publishes that is about many: 1,000
// unless MICRO_EVENT_MESSAGES says otherwise.
func count(t testing.TB) int {
	t.Helper()
	text := os.Getenv("MICRO_EVENT_MESSAGES")
	if text == "" {
		return 1000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("MICRO_EVENT_MESSAGES: %v", err)
	}
	return n
}

// uniqueTopic returns a topic that a server which outlives the test has not seen.
func uniqueTopic() string { return "kafkabroker." + strings.ToLower(rand.Text()[:10]) }

// throughRestarts publishes to two members while the server is restarted at one
// third and at one half of the messages.
func throughRestarts(t *testing.T, url string, restart func()) {
	t.Helper()
	messages := count(t)
	c, topic := newChecker(), uniqueTopic()
	partitions := kafkabroker.NewTopics(4, 1)
	for range 2 {
		subscribe(t, connect(t, url, partitions), topic, c.handle, broker.Queue("q"), broker.MaxInFlight(4))
	}
	publisher := connect(t, url)
	var sending sync.WaitGroup
	sending.Go(func() { c.send(t.Context(), publisher, topic, 8, messages) })
	for _, at := range []int{messages / 3, messages / 2} {
		c.awaitPublished(t, at)
		restart()
	}
	sending.Wait()
	c.awaitTaken(t)
	c.check(t)
	if len(c.taken) < messages/2 {
		t.Errorf("taken: got %d of %d messages", len(c.taken), messages)
	}
}

func TestNothingIsLostThroughRestarts(t *testing.T) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(1), kfake.DataDir(t.TempDir()), kfake.SyncWrites(),
	}
	server, err := kfake.NewCluster(opts...)
	must(t, err)
	t.Cleanup(func() { server.Close() })
	address := server.ListenAddrs()[0]
	_, port, err := net.SplitHostPort(address)
	must(t, err)
	number, err := strconv.Atoi(port)
	must(t, err)
	throughRestarts(t, "kafka://"+address, func() {
		server.Close()
		server, err = kfake.NewCluster(append(opts, kfake.Ports(number))...)
		must(t, err)
	})
}

func TestNothingIsLostThroughRestartsOfARealServer(t *testing.T) {
	url, command := variable(t, serverVariable), variable(t, restartVariable)
	throughRestarts(t, url, func() {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	})
}

// TestConnectionsAreCutAgainAndAgain cuts those of publisher and members in the
// middle of publishes and commits, for a moment each.
func TestConnectionsAreCutAgainAndAgain(t *testing.T) {
	server := newCluster(t, kfake.DefaultNumPartitions(4))
	c, topic, messages := newChecker(), uniqueTopic(), count(t)
	const cuts = 5
	for range 2 {
		subscribe(t, connect(t, server.url()), topic, c.handle, broker.Queue("q"), broker.MaxInFlight(4))
	}
	publisher := connect(t, server.url())
	var sending sync.WaitGroup
	sending.Go(func() { c.send(t.Context(), publisher, topic, 8, messages) })
	for i := range cuts {
		c.awaitPublished(t, (i+1)*messages/(cuts+2))
		server.listener.cut(t)()
	}
	sending.Wait()
	c.awaitTaken(t)
	c.check(t)
	if len(c.taken) < messages/2 {
		t.Errorf("taken: got %d of %d messages", len(c.taken), messages)
	}
}
