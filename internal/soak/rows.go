//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// failure is the verdict of a row that could not be run.
func failure(err error) *verdict {
	v := new(verdict)
	v.fail("%v", err)
	return v
}

// settle ends publishers and then subscribers, and counts.
func (l *lab) settle(publishers, subscribers []*process) (*tally, error) {
	for _, p := range append(append([]*process{}, publishers...), subscribers...) {
		if err := p.stop(); err != nil {
			return nil, err
		}
	}
	return l.tally()
}

func burst(ctx context.Context, l *lab, _ time.Duration) *verdict {
	sub, err := l.subscriber(ctx, "sub", "-queue", "q")
	if err != nil {
		return failure(err)
	}
	pub, err := l.publisher(ctx, "pub", "-count", "10000", "-callers", "64")
	if err != nil {
		return failure(err)
	}
	if err := pub.wait(); err != nil {
		return failure(err)
	}
	t, err := l.settle(nil, []*process{sub})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.check(t, "q")
	v.noErrors(t)
	v.want("handled", len(t.done["q"]), 10000)
	v.want("duplicates", t.duplicated("q"), 0)
	v.atMost("goroutines", t.routines, 300)
	v.atMost("MB", t.memory/1000, 100)
	v.note("%d goroutines, %d MB", t.routines, t.memory/1000)
	return v
}

func steady(ctx context.Context, l *lab, d time.Duration) *verdict {
	sub, err := l.subscriber(ctx, "sub", "-queue", "q", "-in-flight", "8")
	if err != nil {
		return failure(err)
	}
	pub, err := l.publisher(ctx, "pub", "-rate", "1000", "-callers", "32", "-keys", "32")
	if err != nil {
		return failure(err)
	}
	pause(ctx, d)
	t, err := l.settle([]*process{pub}, []*process{sub})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.check(t, "q")
	v.noErrors(t)
	v.want("duplicates", t.duplicated("q"), 0)
	v.within("p99", t.latency(0.99), 50*time.Millisecond)
	return v
}

func publishOnce(ctx context.Context, l *lab, _ time.Duration) *verdict {
	sub, err := l.subscriber(ctx, "sub", "-queue", "q")
	if err != nil {
		return failure(err)
	}
	const n, atOnce = 100, 8
	errs := make(chan error, n)
	slots := make(chan struct{}, atOnce)
	var mu sync.Mutex // of start
	for i := range n {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			mu.Lock()
			p, err := l.publisher(ctx, fmt.Sprint("pub", i), "-count", "1")
			mu.Unlock()
			if err == nil {
				err = p.wait()
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			return failure(err)
		}
	}
	t, err := l.settle(nil, []*process{sub})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.check(t, "q")
	v.noErrors(t)
	v.want("handled", len(t.done["q"]), n)
	return v
}

func fanOut(ctx context.Context, l *lab, _ time.Duration) *verdict {
	sub, err := l.subscriber(ctx, "sub", "-queue", "a,b,c", "-broadcast", "2")
	if err != nil {
		return failure(err)
	}
	pub, err := l.publisher(ctx, "pub", "-count", "2000", "-callers", "16", "-keys", "50")
	if err != nil {
		return failure(err)
	}
	if err := pub.wait(); err != nil {
		return failure(err)
	}
	t, err := l.settle(nil, []*process{sub})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.check(t, "a", "b", "c", "sub/3", "sub/4")
	v.noErrors(t)
	for q, ids := range t.done {
		v.want("handled by "+q, len(ids), 2000)
		v.want("duplicates in "+q, t.duplicated(q), 0)
	}
	v.want("queues and broadcasts", len(t.done), 5)
	return v
}

// restarts ends and starts the sole member of one of two queues again, in turn
// with SIGTERM and SIGKILL.
func restarts(ctx context.Context, l *lab, d time.Duration) *verdict {
	return l.restarting(ctx, d, []string{"-rate", "500", "-callers", "32", "-keys", "32"}, func(v *verdict, t *tally, kills int) {
		v.check(t, "steady", "restarted")
		v.noErrors(t)
		v.want("duplicates in steady", t.duplicated("steady"), 0)
		v.atMost("duplicates in restarted", t.duplicated("restarted"), 32*kills)
		v.note("%d duplicates by %d kills", t.duplicated("restarted"), kills)
	})
}

func (l *lab) restarting(ctx context.Context, d time.Duration, flags []string, judge func(*verdict, *tally, int)) *verdict {
	other, err := l.subscriber(ctx, "steady", "-queue", "steady")
	if err != nil {
		return failure(err)
	}
	member, err := l.subscriber(ctx, "restarted", "-queue", "restarted", "-in-flight", "4")
	if err != nil {
		return failure(err)
	}
	pub, err := l.publisher(ctx, "pub", flags...)
	if err != nil {
		return failure(err)
	}
	kills := 0
	end := time.Now().Add(d)
	for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
		pause(ctx, 700*time.Millisecond)
		if i%2 == 0 {
			err = member.stop()
		} else {
			kills++
			member.kill()
		}
		if err != nil {
			return failure(err)
		}
		pause(ctx, 300*time.Millisecond) // nobody is there
		if member, err = l.subscriber(ctx, "restarted", "-queue", "restarted", "-in-flight", "4"); err != nil {
			return failure(err)
		}
	}
	t, err := l.settle([]*process{pub}, []*process{other, member})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	judge(v, t, kills)
	return v
}

func kills(ctx context.Context, l *lab, d time.Duration) *verdict {
	const n, callers = 20, 64
	member, err := l.subscriber(ctx, "sub", "-queue", "q", "-in-flight", "8", "-work", "2ms")
	if err != nil {
		return failure(err)
	}
	pub, err := l.publisher(ctx, "pub", "-rate", "500", "-callers", itoa(callers), "-keys", "64")
	if err != nil {
		return failure(err)
	}
	for range n {
		pause(ctx, min(max(d/n, 300*time.Millisecond), 3*time.Second))
		member.kill()
		if member, err = l.subscriber(ctx, "sub", "-queue", "q", "-in-flight", "8", "-work", "2ms"); err != nil {
			return failure(err)
		}
	}
	t, err := l.settle([]*process{pub}, []*process{member})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.check(t, "q")
	v.noErrors(t)
	v.atMost("duplicates", t.duplicated("q"), callers*n)
	v.note("%d duplicates", t.duplicated("q"))
	return v
}

func cutAnswers(ctx context.Context, l *lab, d time.Duration) *verdict {
	port, err := freePort(ctx)
	if err != nil {
		return failure(err)
	}
	p, err := newProxy(ctx, port, 0.02)
	if err != nil {
		return failure(err)
	}
	l.closers = append(l.closers, p.close)
	sub, err := l.subscriber(ctx, "sub", "-queue", "q", "-in-flight", "4", "-listen", port, "-behind", p.address())
	if err != nil {
		return failure(err)
	}
	pub, err := l.publisher(ctx, "pub", "-callers", "8", "-keys", "16", "-rate", "2000")
	if err != nil {
		return failure(err)
	}
	pause(ctx, d)
	t, err := l.settle([]*process{pub}, []*process{sub})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.check(t, "q")
	v.noErrors(t)
	v.want("finished twice", t.duplicated("q"), 0)
	v.note("%d answers cut", p.cuts.Load())
	if p.cuts.Load() == 0 {
		v.fail("no answer was cut")
	}
	return v
}

func freePort(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// hungPeer stops one of two broadcast subscribers and publishes with a second
// for each message.
func hungPeer(ctx context.Context, l *lab, _ time.Duration) *verdict {
	sub, err := l.subscriber(ctx, "sub", "-queue", "q", "-broadcast", "1")
	if err != nil {
		return failure(err)
	}
	hung, err := l.subscriber(ctx, "hung", "-broadcast", "1")
	if err != nil {
		return failure(err)
	}
	hung.signal(syscall.SIGSTOP)
	begin := time.Now()
	pub, err := l.publisher(ctx, "pub", "-count", "200", "-callers", "50", "-timeout", "5s")
	if err != nil {
		return failure(err)
	}
	if err := pub.wait(); err != nil {
		return failure(err)
	}
	took := time.Since(begin)
	hung.signal(syscall.SIGCONT)
	t, err := l.settle(nil, []*process{sub, hung})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.want("handled by the queue", len(t.done["q"]), 200)
	v.want("handled by the other", len(t.done["sub/1"]), 200)
	v.want("errors", len(t.failed), 200)
	for _, text := range t.texts {
		if strings.Count(text, "subscriber at ") != 1 || strings.Contains(text, "queue") {
			v.fail("the error names more than the peer: %s", text)
			break
		}
	}
	v.note("200 errors")
	v.within("each after", took/4, 1500*time.Millisecond)
	return v
}

// rolling restarts three members one after the other.
func rolling(ctx context.Context, l *lab, d time.Duration) *verdict {
	start := func(i int) (*process, error) {
		return l.subscriber(ctx, fmt.Sprint("sub", i), "-queue", "q", "-in-flight", "4", "-work", "5ms")
	}
	var members []*process
	for i := range 3 {
		p, err := start(i)
		if err != nil {
			return failure(err)
		}
		members = append(members, p)
	}
	pub, err := l.publisher(ctx, "pub", "-rate", "500", "-callers", "32", "-keys", "64")
	if err != nil {
		return failure(err)
	}
	rounds := 0
	end := time.Now().Add(d)
	for time.Now().Before(end) && ctx.Err() == nil {
		for i := range members {
			pause(ctx, 200*time.Millisecond)
			if err := members[i].stop(); err != nil {
				return failure(err)
			}
			if members[i], err = start(i); err != nil {
				return failure(err)
			}
		}
		rounds++
	}
	t, err := l.settle([]*process{pub}, members)
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.check(t, "q")
	v.noErrors(t)
	v.want("duplicates", t.duplicated("q"), 0)
	v.want("cut handlers", t.cut, 0)
	v.note("%d rounds", rounds)
	return v
}

// slowConsumer publishes far more than the subscriber can handle.
func slowConsumer(ctx context.Context, l *lab, d time.Duration) *verdict {
	sub, err := l.subscriber(ctx, "sub", "-queue", "q", "-work", "20ms")
	if err != nil {
		return failure(err)
	}
	pub, err := l.publisher(ctx, "pub", "-callers", "200", "-size", "10000", "-timeout", "1s")
	if err != nil {
		return failure(err)
	}
	pause(ctx, d)
	t, err := l.settle([]*process{pub}, []*process{sub})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.check(t, "q")
	v.atMost("MB", t.memory/1000, 150)
	v.note("%d failed, %d MB", len(t.failed), t.memory/1000)
	return v
}

// acceptedRestarts is restarts at level Accepted without kills: what a member
// holds is lost with its process, and only then.
func acceptedRestarts(ctx context.Context, l *lab, d time.Duration) *verdict {
	start := func(i int) (*process, error) {
		return l.subscriber(ctx, fmt.Sprint("sub", i), "-queue", "q", "-in-flight", "4", "-work", "1ms", "-accepted")
	}
	var members []*process
	for i := range 2 {
		p, err := start(i)
		if err != nil {
			return failure(err)
		}
		members = append(members, p)
	}
	pub, err := l.publisher(ctx, "pub", "-rate", "1000", "-callers", "8", "-keys", "16", "-accepted")
	if err != nil {
		return failure(err)
	}
	end := time.Now().Add(d)
	for i := 0; time.Now().Before(end) && ctx.Err() == nil; i = 1 - i {
		pause(ctx, 500*time.Millisecond)
		if err := members[i].stop(); err != nil {
			return failure(err)
		}
		if members[i], err = start(i); err != nil {
			return failure(err)
		}
	}
	if err := pub.stop(); err != nil {
		return failure(err)
	}
	t, err := l.settle(nil, members)
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.note("%d published", len(t.ok))
	v.noErrors(t)
	v.want("lost", t.lost("q"), 0)
	v.want("invented", t.invented(), 0)
	v.want("duplicates", t.duplicated("q"), 0)
	return v
}
