package event_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	eventv1 "github.com/micro-event/micro-event/proto/micro/event/v1"
	"github.com/micro-event/micro-event/runtime/broker"
	memorybroker "github.com/micro-event/micro-event/runtime/broker/memory"
	"github.com/micro-event/micro-event/runtime/event"
)

// wireTest is an exchange in which something is wrong, or looks so.
type wireTest struct {
	name    string
	publish func(*wireExchange) error
	opts    []event.SubscribeOption
	shared  bool // the server handles a second type on the topic
}

// raw publishes messages as they are.
func raw(messages ...*broker.Message) func(*wireExchange) error {
	return func(x *wireExchange) error {
		var errs []error
		for _, m := range messages {
			errs = append(errs, x.broker.Publish(x.ctx, fieldSpec.Topic, m))
		}
		return errors.Join(errs...)
	}
}

// typed publishes an event with headers of the context.
func typed(context func(context.Context) context.Context) func(*wireExchange) error {
	return func(x *wireExchange) error {
		return event.NewClient(x.broker, "shop").PublishEvent(context(x.ctx), fieldSpec, field("acme", "id"))
	}
}

func header(name, value string) func(context.Context) context.Context {
	return func(ctx context.Context) context.Context { return event.WithHeader(ctx, name, value) }
}

func wireTests(t *testing.T) []wireTest {
	body := encoded(t)
	large := bytes.Repeat([]byte{'x'}, 5<<20)
	dedup := event.WrapHandle(event.Dedup(event.NewMemoryDedup(10)))
	goMicro := func(contentType string) *broker.Message {
		return &broker.Message{Header: broker.Header{"Content-Type": contentType, "Micro-Topic": "shop.fields"}, Body: []byte(body)}
	}
	return []wireTest{
		{name: "nothing wrong", publish: raw(wire(t, body))},
		{name: "alias of the type", publish: raw(wire(t, body, "ce-type", "shop.v0.Field"))},
		{name: "no type", publish: raw(wire(t, body, "ce-type", ""))},
		{name: "no type, with AcceptRaw", publish: raw(&broker.Message{Body: []byte(body)}), opts: []event.SubscribeOption{event.AcceptRaw("application/protobuf")}},
		{name: "no type, from go-micro", publish: raw(goMicro("application/protobuf"))},
		{name: "another type", publish: raw(wire(t, body, "ce-type", "shop.v1.Other"))},
		{name: "another type, topic of several", publish: raw(wire(t, body, "ce-type", "shop.v1.Other")), shared: true},
		{name: "no id", publish: raw(wire(t, body, "ce-id", ""))},
		{name: "another specversion", publish: raw(wire(t, body, "ce-specversion", "0.3"))},
		{name: "time that is none", publish: raw(wire(t, body, "ce-time", "yesterday"))},
		{name: "no content type", publish: raw(wire(t, body, "content-type", ""))},
		{name: "unknown content type", publish: raw(wire(t, body, "content-type", "text/plain"))},
		{name: "truncated body", publish: raw(wire(t, body[:len(body)-1]))},
		{name: "foreign body", publish: raw(wire(t, `{"name":"acme"}`))},
		{name: "body of 5 MiB", publish: raw(&broker.Message{Body: large})},
		{name: "id twice", publish: raw(wire(t, body), wire(t, body))},
		{name: "id twice, with Dedup", publish: raw(wire(t, body), wire(t, body)), opts: []event.SubscribeOption{dedup}},
		{name: "reserved header", publish: typed(header("ce-id", "1"))},
		{name: "header that is no token", publish: typed(header("a b", "1"))},
		{name: "header that is not UTF-8", publish: typed(header("note", "\xff"))},
		{name: "header of 33 KiB", publish: typed(header("note", strings.Repeat("x", 33<<10)))},
		{name: "event that is nil", publish: func(x *wireExchange) error {
			return event.NewClient(x.broker, "shop").PublishEvent(x.ctx, fieldSpec, (*eventv1.HeaderField)(nil))
		}},
	}
}

// wireExchange notes what everybody sees of it.
type wireExchange struct {
	ctx     context.Context
	broker  *broker.Engine
	log     bytes.Buffer
	handled int
	dead    []string
}

// TestWhatEverybodySees compares the table in docs/operations.md with what happens.
func TestWhatEverybodySees(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, tt := range wireTests(t) {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				row := tt.run(t)
				rows = append(rows, row)
				if !strings.Contains(string(text), row+"\n") {
					t.Errorf("docs/operations.md has no row\n%s", row)
				}
			})
		})
	}
	if t.Failed() {
		t.Logf("the table is\n%s", strings.Join(rows, "\n"))
	}
}

// run returns the row of the table.
func (tt *wireTest) run(t *testing.T) string {
	x := &wireExchange{ctx: t.Context()}
	x.broker = memorybroker.New(broker.WithLogger(slog.New(slog.NewTextHandler(&x.log, nil))))
	s := event.NewServer(x.broker, "billing")
	err := event.Subscribe(s, fieldSpec, func(context.Context, *eventv1.HeaderField) error {
		x.handled++
		return nil
	}, tt.opts...)
	if tt.shared {
		err = errors.Join(err, event.Subscribe(s, optionsSpec, ignoreOptions))
	}
	if err := errors.Join(err, s.Start(x.ctx)); err != nil {
		t.Fatal(err)
	}
	_, err = x.broker.Subscribe(x.ctx, "billing.dead-letters", func(_ context.Context, d *broker.Delivery) error {
		x.dead = append(x.dead, d.Message.Header[broker.DeadLetterCauseHeader])
		return nil
	}, broker.Queue(broker.DeadLetterQueue))
	if err != nil {
		t.Fatal(err)
	}
	published := tt.publish(x)
	synctest.Wait()
	if err := s.Stop(x.ctx); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |", tt.name, seenByCaller(published),
		[]string{"not called", "once", "twice"}[x.handled], x.deadLetter(), x.logged())
}

func seenByCaller(err error) string {
	if err == nil {
		return "nil"
	}
	text := err.Error()
	_, text, _ = strings.Cut(text, "rejected: ")
	text, _, _ = strings.Cut(text, " and !#") // what follows is no Markdown
	return fmt.Sprintf("rejected: %#q", text)
}

// deadLetter is the cause in the dead letter, without what is the same in all.
func (x *wireExchange) deadLetter() string {
	if len(x.dead) == 0 {
		return "-"
	}
	text := strings.ReplaceAll(x.dead[0], "\u00a0", " ") // protobuf varies its blanks
	return "`" + strings.TrimPrefix(text, `permanent: event: decode message from "shop.fields": `) + "`"
}

// logged is level and message of all lines.
func (x *wireExchange) logged() string {
	var lines []string
	for line := range strings.Lines(x.log.String()) {
		_, line, _ = strings.Cut(line, "level=")
		level, line, _ := strings.Cut(line, ` msg="`)
		message, _, _ := strings.Cut(line, `"`)
		lines = append(lines, fmt.Sprintf("%s %#q", level, message))
	}
	if len(lines) == 0 {
		return "-"
	}
	return strings.Join(slices.Compact(lines), ", ")
}
