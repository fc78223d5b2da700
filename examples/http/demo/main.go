// Demo starts the publisher and the subscriber, kills the subscriber while orders
// come in, starts it again, and shows that no order was lost. With -secure the two
// prove to each other who they are.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	packages  = "github.com/micro-event/micro-event/examples/http/"
	orders    = 20
	killAfter = 5
	patience  = 30 * time.Second
)

func main() {
	secure := flag.Bool("secure", false, "with certificates and signed requests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *secure)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run is the demonstration. It fails when an order was published and not handled.
func run(ctx context.Context, out io.Writer, secure bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator), packages+"publisher", packages+"subscriber") //nolint:gosec // the words are ours
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, text)
	}
	s := &stage{dir: dir, secure: secure, out: out, seen: make(map[string]int), news: make(chan struct{}, 1)}
	return s.play(ctx)
}

// stage is where the processes run.
type stage struct {
	dir      string
	secure   bool
	out      io.Writer
	mu       sync.Mutex
	seen     map[string]int // lines by verb and order
	news     chan struct{}  // has room for one
	printing sync.WaitGroup
}

func (s *stage) play(ctx context.Context) error {
	subscriber, err := s.start(ctx, "subscriber")
	if err != nil {
		return err
	}
	publisher, err := s.start(ctx, "publisher", "-count", fmt.Sprint(orders), "-every", "50ms")
	if err != nil {
		return err
	}
	if err := s.await(ctx, "handled", killAfter); err != nil {
		return err
	}
	s.print("demo", "kills the subscriber")
	if err := subscriber.Process.Kill(); err != nil {
		return err
	}
	subscriber.Wait() //nolint:errcheck // it was killed
	s.print("demo", "starts it again")
	if subscriber, err = s.start(ctx, "subscriber"); err != nil {
		return err
	}
	if err := s.await(ctx, "published", orders); err != nil {
		return err
	}
	if err := publisher.Wait(); err != nil {
		return err
	}
	if err := subscriber.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	if err := subscriber.Wait(); err != nil {
		return err
	}
	s.printing.Wait()
	return s.judge()
}

// judge counts.
func (s *stage) judge() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	published, lost := 0, 0
	for line := range s.seen {
		if id, ok := strings.CutPrefix(line, "published "); ok {
			published++
			if s.seen["handled "+id] == 0 {
				lost++
			}
		}
	}
	if _, err := fmt.Fprintf(s.out, "demo       %d orders published, %d lost\n", published, lost); err != nil {
		return err
	}
	if lost > 0 {
		return fmt.Errorf("%d orders were lost", lost)
	}
	return nil
}

// start runs a program and prints what it says.
func (s *stage) start(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	if s.secure {
		args = append(args, "-secure", filepath.Join(s.dir, "secrets"))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.dir, name), args...) //nolint:gosec // the words are ours
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = write
	cmd.Env = append(os.Environ(), "TMPDIR="+s.dir) // where the two find each other, and nobody else
	if err := errors.Join(cmd.Start(), write.Close()); err != nil {
		return nil, err
	}
	s.printing.Go(func() { // until the process has ended
		for lines := bufio.NewScanner(read); lines.Scan(); {
			s.hear(name, lines.Text())
		}
		read.Close() //nolint:errcheck // it was read to its end
	})
	return cmd, nil
}

// hear notes a line.
func (s *stage) hear(who, line string) {
	verb, id, _ := strings.Cut(line, " ")
	s.mu.Lock()
	s.seen[verb+" "+strings.TrimSpace(id)]++
	s.mu.Unlock()
	s.print(who, line)
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *stage) print(who, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%-10s %s\n", who, line) //nolint:errcheck // the count at the end tells
}

// await waits until n orders had something happen to them.
func (s *stage) await(ctx context.Context, verb string, n int) error {
	for s.count(verb) < n {
		select {
		case <-s.news:
		case <-ctx.Done():
			return fmt.Errorf("waited for %d orders to be %s: %w", n, verb, context.Cause(ctx))
		}
	}
	return nil
}

func (s *stage) count(verb string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for line := range s.seen {
		if strings.HasPrefix(line, verb+" ") {
			n++
		}
	}
	return n
}
