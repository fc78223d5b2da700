package natsbroker_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

// Variables that let tests use a server of its own process; scripts/services
// prints them.
const (
	serverVariable  = "MICRO_EVENT_NATS"         // URL of a server
	restartVariable = "MICRO_EVENT_NATS_RESTART" // shell command that kills and starts it
)

// Variables of a process that is a member of a queue: URL and topic.
const (
	memberURL   = "NATSBROKER_TEST_MEMBER_URL"
	memberTopic = "NATSBROKER_TEST_MEMBER_TOPIC"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(memberURL); url != "" {
		if err := member(url, os.Getenv(memberTopic)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {} // until it is killed
	}
	goleak.VerifyTestMain(m)
}

// variable returns the value of an environment variable, or skips the test.
func variable(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Skipf("needs a nats-server: set %s, as `scripts/services up nats` prints it", name)
	}
	return value
}

func TestConformanceOfARealServer(t *testing.T) {
	url := variable(t, serverVariable)
	brokertest.Run(t, func(_ testing.TB, opts ...broker.Option) broker.Broker {
		return natsbroker.New(url, append(opts, natsbroker.AckWait(3*time.Second))...)
	}, brokertest.Features{
		Deadline: 20 * time.Second, Messages: 2000,
		Skip: map[string]string{
			"S3_a_broadcast_ends_with_its_subscription": "a stream says that it has stored a message, not whether a queue will get it",
		},
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

func TestConnectionToARealServerIsCutAgainAndAgain(t *testing.T) {
	throughCuts(t, variable(t, serverVariable))
}

// member prints what it handles.
func member(url, topic string) error {
	b := natsbroker.New(url, natsbroker.AckWait(time.Second))
	if err := b.Connect(context.Background()); err != nil {
		return err
	}
	_, err := b.Subscribe(context.Background(), topic, func(_ context.Context, d *broker.Delivery) error {
		_, err := fmt.Fprintln(os.Stdout, d.Message.Key, string(d.Message.Body))
		return err
	}, broker.Queue("q"), broker.MaxInFlight(8))
	return err
}

// TestAMemberOfARealServerIsKilled kills a process with messages in flight, of which
// it has said what it handled.
func TestAMemberOfARealServerIsKilled(t *testing.T) {
	url, l, topic := variable(t, serverVariable), newLedger(), uniqueTopic()
	each := messages(t) / keys
	b := connect(t, url, natsbroker.AckWait(time.Second))
	must(t, b.DeclareQueue(t.Context(), topic, "q"))
	process := exec.CommandContext(t.Context(), os.Args[0])
	process.Env = append(os.Environ(), memberURL+"="+url, memberTopic+"="+topic)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	must(t, err)
	must(t, process.Start())
	var reading, publishing sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			key, body, _ := strings.Cut(lines.Text(), " ")
			m := broker.Message{Key: key, Body: []byte(body)}
			if err := l.handle(t.Context(), &broker.Delivery{Message: m}); err != nil {
				t.Error(err)
			}
		}
	})
	for k := range keys {
		publishing.Go(func() { l.publish(t, b, topic, fmt.Sprint("key", k), each) })
	}
	l.await(t, "a tenth of the messages", func() bool { return l.handledInAll > keys*each/10 })
	_, err = b.Subscribe(t.Context(), topic, l.handle, broker.Queue("q"), broker.MaxInFlight(8))
	must(t, err)
	l.await(t, "a quarter of the messages", func() bool { return l.handledInAll > keys*each/4 })
	must(t, process.Process.Kill())
	reading.Wait()
	if err := process.Wait(); err == nil {
		t.Error("the member ended by itself")
	}
	publishing.Wait()
	l.await(t, "all messages", func() bool { return len(l.handled) == keys*each })
	l.checkOutcomes(t) // two members do not keep the order of a key
	if len(l.taken) != keys*each {
		t.Errorf("taken: got %d, want all %d", len(l.taken), keys*each)
	}
}
