// Command node is one process of a system of services: by its flags it
// publishes, subscribes, fails and stalls. It writes down what happened to each
// message, one line at a time, so that a checker can tell afterwards what was
// lost, handled twice or out of order, even when the process was killed.
//
// Two terminals, nothing installed:
//
//	go run ./examples/node -subscribe orders -queue billing
//	go run ./examples/node -publish orders -count 1000 -keys 10
//
// # Journal
//
// With -journal FILE the lines go to a file, else to the standard output. Each is
// written with one system call and has a time in nanoseconds first:
//
//	TIME ready
//	TIME sent ID KEY            Publish was called
//	TIME ok ID LATENCY          it returned nil, after so many nanoseconds
//	TIME failed ID OUTCOME TEXT it returned an error: not-delivered, uncertain or rejected
//	TIME begin QUEUE ID KEY N   attempt N of a handler began; QUEUE is - without one
//	TIME done QUEUE ID          the handler returned nil
//	TIME error QUEUE ID         it failed, as it was asked to
//	TIME end GOROUTINES RSS     the process ends; its most goroutines and memory in KiB
//
// Ids are NAME-CALLER-SEQUENCE, where the messages of one caller are published
// one after the other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// config is what the flags say.
type config struct {
	name, namespace, journal string
	listen, insecure, behind string
	accepted                 bool
	drain                    time.Duration

	publish      string
	count        int
	rate         float64
	callers      int
	keys         int
	size         int
	timeout      time.Duration
	retry        bool
	subscribe    string
	queues       string
	broadcasts   int
	inFlight     int
	work         time.Duration
	failEvery    int
	stallAfter   int
	verbose      bool
	stayAfterAll bool
}

func parse(args []string, errs io.Writer) (*config, error) {
	c := new(config)
	f := flag.NewFlagSet("node", flag.ContinueOnError)
	f.SetOutput(errs)
	f.StringVar(&c.name, "name", fmt.Sprint("n", os.Getpid()), "beginning of the ids of messages")
	f.StringVar(&c.namespace, "namespace", httpbroker.DefaultNamespace, "which processes find each other")
	f.StringVar(&c.journal, "journal", "", "file to append the journal to (default: standard output)")
	f.StringVar(&c.listen, "listen", httpbroker.DefaultListen, "address to listen on")
	f.StringVar(&c.insecure, "insecure-listen", "", "address to listen on that other machines can reach")
	f.StringVar(&c.behind, "behind", "", "address that others are told, of a proxy before -listen")
	f.BoolVar(&c.accepted, "accepted", false, "publish at level Accepted")
	f.DurationVar(&c.drain, "drain", 20*time.Second, "time for handlers to end after SIGTERM")
	f.BoolVar(&c.verbose, "v", false, "log what the broker does")

	f.StringVar(&c.publish, "publish", "", "topic to publish to")
	f.IntVar(&c.count, "count", 0, "messages to publish (0: until SIGTERM)")
	f.Float64Var(&c.rate, "rate", 0, "messages per second in all (0: as fast as they are handled)")
	f.IntVar(&c.callers, "callers", 1, "callers of Publish at once")
	f.IntVar(&c.keys, "keys", 0, "keys in all; each belongs to one caller (0: no keys)")
	f.IntVar(&c.size, "size", 200, "bytes of a body")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "time for one Publish")
	f.BoolVar(&c.retry, "retry", false, "publish again, with the same id, what is uncertain")
	f.BoolVar(&c.stayAfterAll, "stay", false, "do not end when all is published")

	f.StringVar(&c.subscribe, "subscribe", "", "topic to subscribe to")
	f.StringVar(&c.queues, "queue", "", "queues to be a member of, separated by commas")
	f.IntVar(&c.broadcasts, "broadcast", 0, "subscriptions without a queue")
	f.IntVar(&c.inFlight, "in-flight", 1, "handlers at once")
	f.DurationVar(&c.work, "work", 0, "how long a handler takes")
	f.IntVar(&c.failEvery, "fail-every", 0, "fail the first attempt of every so many messages")
	f.IntVar(&c.stallAfter, "stall-after", 0, "handlers hang after so many messages")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return c, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		slog.Error("node failed", "error", err) //nolint:sloglint // a program may use the default logger
		os.Exit(1)
	}
}

// run is the life of a node, until ctx ends or all is published.
func run(ctx context.Context, args []string, out, errs io.Writer) (err error) {
	c, err := parse(args, errs)
	if err != nil {
		return err
	}
	j, err := openJournal(c.journal, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	b, stop, err := connect(ctx, c, errs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := subscribe(ctx, b, c, j); err != nil {
		return err
	}
	j.write("ready")
	if c.publish != "" {
		publish(ctx, b, c, j)
	}
	if c.subscribe != "" || c.stayAfterAll {
		<-ctx.Done()
	}
	return nil
}

// connect returns a broker and what ends it.
func connect(ctx context.Context, c *config, errs io.Writer) (*broker.Engine, func() error, error) {
	level := slog.LevelError
	if c.verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level}))
	options := []broker.Option{httpbroker.Namespace(c.namespace), httpbroker.Log(logger), broker.WithLogger(logger)}
	if c.accepted {
		options = append(options, httpbroker.PublishLevel(httpbroker.Accepted))
	}
	d := httpbroker.NewDriver()
	closeServer := func() error { return nil }
	switch {
	case c.behind != "":
		serve, err := mount(ctx, d, c.listen)
		if err != nil {
			return nil, nil, err
		}
		closeServer = serve
		options = append(options, httpbroker.Mounted(c.behind))
	case c.insecure != "":
		options = append(options, httpbroker.Listen(c.insecure), httpbroker.AllowPlaintext(), httpbroker.AllowAnonymous())
	default:
		options = append(options, httpbroker.Listen(c.listen))
	}
	b := broker.New(d, options...)
	if err := b.Connect(ctx); err != nil {
		return nil, nil, errors.Join(err, closeServer())
	}
	return b, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drain)
		defer cancel()
		return errors.Join(b.Disconnect(ctx), closeServer())
	}, nil
}

// mount serves the broker's handler in a server of the program's own.
func mount(ctx context.Context, d *httpbroker.Driver, address string) (func() error, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST "+httpbroker.DeliverPath, d.Handler())
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	return func() error {
		err := server.Close()
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	}, nil
}

func queues(c *config) []string {
	var names []string
	for name := range strings.SplitSeq(c.queues, ",") {
		if name != "" {
			names = append(names, name)
		}
	}
	for range c.broadcasts {
		names = append(names, "")
	}
	return names
}
