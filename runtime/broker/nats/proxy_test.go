package natsbroker_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

// proxy passes connections to a server, until it is told to cut them.
type proxy struct {
	listener net.Listener
	server   string
	running  sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

func startProxy(t *testing.T, url string) *proxy {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, server: strings.TrimPrefix(url, "nats://"), open: make(map[net.Conn]struct{})}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		p.close()
		p.running.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		var d net.Dialer
		upstream, err := d.Dial("tcp", p.server)
		if err != nil {
			end(client)
			continue
		}
		p.pass(client, upstream)
	}
}

func (p *proxy) pass(client, upstream net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[client], p.open[upstream] = struct{}{}, struct{}{}
	for _, pair := range [][2]net.Conn{{client, upstream}, {upstream, client}} {
		p.running.Go(func() {
			_, _ = io.Copy(pair[0], pair[1]) //nolint:errcheck // it ends when it is cut
			end(pair[0], pair[1])
		})
	}
	if p.closed {
		p.cutLocked()
	}
}

// cut ends all connections with what is on its way in them.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLocked()
}

func (p *proxy) cutLocked() {
	for c := range p.open {
		end(c)
		delete(p.open, c)
	}
}

// end closes what may be closed already.
func end(what ...io.Closer) {
	for _, c := range what {
		_ = c.Close() //nolint:errcheck // see above
	}
}

// close ends the connections for good.
func (p *proxy) close() {
	end(p.listener)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cutLocked()
}

// TestConnectionIsCutAgainAndAgain cuts the connections of publisher and
// subscriber in the middle of publishes and acknowledgements.
func TestConnectionIsCutAgainAndAgain(t *testing.T) { throughCuts(t, startServer(t).url()) }

func throughCuts(t *testing.T, url string) {
	t.Helper()
	l, topic, each := newLedger(), uniqueTopic(), messages(t)/keys
	p := startProxy(t, url)
	const cuts = 5
	publisher, subscriber := connect(t, p.url()), connect(t, p.url(), natsbroker.AckWait(time.Second))
	_, err := subscriber.Subscribe(t.Context(), topic, l.handle, broker.Queue("q"), broker.MaxInFlight(8))
	must(t, err)
	var names []string
	var publishing sync.WaitGroup
	for k := range keys {
		key := fmt.Sprint("key", k)
		names = append(names, key)
		publishing.Go(func() { l.publish(t, publisher, topic, key, each) })
	}
	for i := range cuts {
		at := (i + 1) * keys * each / (cuts + 2)
		l.await(t, fmt.Sprint(at, " messages"), func() bool { return l.handledInAll >= at })
		p.cut()
	}
	publishing.Wait()
	l.fence(t, publisher, topic, names, each)
	l.await(t, "all that were taken", func() bool {
		for _, id := range l.taken {
			if l.handled[id] == 0 {
				return false
			}
		}
		return true
	})
	l.checkOutcomes(t) // the order is not kept: what was on its way comes again after the ack wait
}

// TestMemberDies lets one of two members vanish with messages in flight: the
// other one gets them after the ack wait.
func TestMemberDies(t *testing.T) {
	s, l := startServer(t), newLedger()
	p := startProxy(t, s.url())
	const topic, n = "faults.dies", 200
	dying := connect(t, p.url(), natsbroker.AckWait(time.Second))
	other := connect(t, s.url(), natsbroker.AckWait(time.Second))
	held := make(chan struct{}, n)
	forever := make(chan struct{})
	_, err := dying.Subscribe(t.Context(), topic, func(context.Context, *broker.Delivery) error {
		held <- struct{}{}
		<-forever
		return nil
	}, broker.Queue("q"), broker.MaxInFlight(4))
	must(t, err)
	for i := range 4 {
		l.publish(t, other, topic, fmt.Sprint("held", i), 1)
	}
	for range 4 {
		<-held
	}
	_, err = other.Subscribe(t.Context(), topic, l.handle, broker.Queue("q"), broker.MaxInFlight(4))
	must(t, err)
	p.close()
	for i := range n / 10 {
		l.publish(t, other, topic, fmt.Sprint("key", i), 10)
	}
	l.await(t, "all messages", func() bool { return len(l.handled) == n+4 })
	l.check(t)
	close(forever)
}
