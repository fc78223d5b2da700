package overhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	ordersv1 "github.com/micro-event/micro-event/examples/gen/shop/orders/v1"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
	"github.com/micro-event/micro-event/runtime/event"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// groupProcesses is what the results are filed under whose subscribers are processes of
// their own.
const groupProcesses = "HTTP, two processes"

// subscriberVariable says what a process that this one started is to be.
const subscriberVariable = "BENCHMARKS_HTTP_SUBSCRIBER"

// subscribers are what such a process can be. They return their URL.
var subscribers = map[string]func(context.Context, *measure.Bench, *measure.Counter) (string, error){
	"net/http": func(ctx context.Context, b *measure.Bench, counter *measure.Counter) (string, error) {
		return serve(ctx, b, reads(func(r io.Reader) error { return readAndHandle(r, counter) }))
	},
	"micro-event": func(ctx context.Context, b *measure.Bench, counter *measure.Counter) (string, error) {
		member := httpbroker.New(httpbroker.WithRegistry(httpbroker.NewMemoryRegistry()))
		err := subscribe(ctx, b, member, counter)
		return member.Address(), err
	},
}

// ServeSubscriber is all that a process does that [Run] started; in any other one it
// returns false at once. It writes its URL, and then for each line that it reads how many
// events were handled.
func ServeSubscriber(ctx context.Context, in io.Reader, out io.Writer) (served bool, err error) {
	open := subscribers[os.Getenv(subscriberVariable)]
	if open == nil {
		return false, nil
	}
	b, counter := &measure.Bench{}, measure.NewCounter()
	line, err := open(ctx, b, counter)
	for asked := bufio.NewScanner(in); err == nil; line = strconv.Itoa(counter.Count()) {
		if _, err = fmt.Fprintln(out, line); err == nil && !asked.Scan() {
			err = asked.Err()
			break
		}
	}
	return true, errors.Join(err, b.Close())
}

// subscriber is such a process.
type subscriber struct {
	in      io.WriteCloser
	out     *bufio.Scanner
	handled int // when it was last asked
}

// start starts one and returns its URL. It ends with the bench.
func start(ctx context.Context, b *measure.Bench, kind string) (*subscriber, string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	c := exec.CommandContext(ctx, program) //nolint:gosec // this program
	c.Env = append(os.Environ(), subscriberVariable+"="+kind, "GOMAXPROCS=1")
	c.Stderr = os.Stderr
	in, inErr := c.StdinPipe()
	out, outErr := c.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		return nil, "", err
	}
	if err := c.Start(); err != nil {
		return nil, "", err
	}
	b.Cleanup(func() error { return errors.Join(in.Close(), c.Wait()) })
	s := &subscriber{in: in, out: bufio.NewScanner(out)}
	url, err := s.line()
	return s, url, err
}

func (s *subscriber) line() (string, error) {
	if s.out.Scan() {
		return s.out.Text(), nil
	}
	return "", errors.Join(errors.New("the subscriber ended"), s.out.Err())
}

// delivered is the Delivered of a side whose calls return when their event was handled.
func (s *subscriber) delivered(context.Context, int) (int, error) {
	if _, err := fmt.Fprintln(s.in); err != nil {
		return 0, err
	}
	line, err := s.line()
	if err != nil {
		return 0, err
	}
	handled, err := strconv.Atoi(line)
	n := handled - s.handled
	s.handled = handled
	return n, err
}

// runProcesses compares with subscribers in processes of their own: each process has one
// core to run on, as far as the system keeps them apart.
func runProcesses(ctx context.Context, b *measure.Bench) error {
	cores := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(cores)
	server, url, err := start(ctx, b, "net/http")
	if err != nil {
		return err
	}
	member, address, err := start(ctx, b, "micro-event")
	if err != nil {
		return err
	}
	registry, err := httpbroker.NewStaticRegistry(httpbroker.Entry{
		Topic: ordersv1.OrderCreatedTopic, Queue: "billing", Address: strings.TrimPrefix(address, "http://"),
	})
	if err != nil {
		return err
	}
	e := httpbroker.New(httpbroker.WithRegistry(registry))
	if err := e.Connect(ctx); err != nil {
		return err
	}
	b.Cleanup(func() error { return e.Disconnect(context.Background()) })
	publisher := event.NewClient(e, "shop")
	sides := []measure.Side{
		{Name: "net/http", Delivered: server.delivered, Each: poster(b, url, marshal)},
		{Name: "micro-event", Delivered: member.delivered, Each: func(ctx context.Context) error {
			return ordersv1.PublishOrderCreated(ctx, publisher, order())
		}},
	}
	for _, n := range callers {
		c := measure.Comparison{Group: groupProcesses, Name: measure.NameOfCallers(n), Callers: n, Sides: sides}
		if err := b.Compare(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
