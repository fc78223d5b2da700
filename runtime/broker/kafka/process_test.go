package kafkabroker_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/micro-event/micro-event/runtime/broker"
	kafkabroker "github.com/micro-event/micro-event/runtime/broker/kafka"
)

// Variables of a process that is a member of a queue: URL and topic.
const (
	memberURL   = "KAFKABROKER_TEST_MEMBER_URL"
	memberTopic = "KAFKABROKER_TEST_MEMBER_TOPIC"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(memberURL); url != "" {
		if err := member(url, os.Getenv(memberTopic)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {} // until it is killed
	}
	os.Exit(m.Run())
}

// member prints what it handles.
func member(url, topic string) error {
	b := newBroker(url)
	if err := b.Connect(context.Background()); err != nil {
		return err
	}
	_, err := b.Subscribe(context.Background(), topic, func(_ context.Context, d *broker.Delivery) error {
		_, err := fmt.Fprintln(os.Stdout, string(d.Message.Body))
		return err
	}, broker.Queue("q"), broker.MaxInFlight(4))
	return err
}

// memberDies kills a process in the middle of its work. What it had not
// committed goes to the member that is left.
func memberDies(t *testing.T, url string) {
	t.Helper()
	messages := count(t)
	c, topic := newChecker(), uniqueTopic()
	b := connect(t, url, kafkabroker.NewTopics(4, 1))
	must(t, b.DeclareQueue(t.Context(), topic, "q"))
	process := exec.CommandContext(t.Context(), os.Args[0])
	process.Env = append(os.Environ(), memberURL+"="+url, memberTopic+"="+topic)
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	must(t, err)
	must(t, process.Start())
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.note(lines.Text())
		}
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		c.send(t.Context(), b, topic, 8, messages)
	}()
	c.awaitHandled(t, messages/10)
	subscribe(t, b, topic, c.handle, broker.Queue("q"), broker.MaxInFlight(4)) // the group rebalances under load
	c.awaitHandled(t, messages/4)
	must(t, process.Process.Kill())
	<-printed
	if err := process.Wait(); err == nil {
		t.Error("the member ended by itself")
	}
	<-sent
	c.awaitTaken(t)
	c.check(t)
	if len(c.taken) != messages {
		t.Errorf("taken: got %d messages, want all %d", len(c.taken), messages)
	}
}

func TestAMemberDies(t *testing.T) {
	memberDies(t, newCluster(t, kfake.DefaultNumPartitions(4)).url())
}

func TestAMemberOfARealServerDies(t *testing.T) { memberDies(t, variable(t, serverVariable)) }
