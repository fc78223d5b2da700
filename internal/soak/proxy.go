//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
)

// proxy stands between publishers and a member, and does to their connections
// what it is told.
type proxy struct {
	listener net.Listener
	target   string
	cut      float64 // part of the answers that are cut
	stalled  atomic.Bool
	cuts     atomic.Int64

	mu     sync.Mutex
	resume chan struct{} // closed when it is not stalled any more
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup
}

func newProxy(ctx context.Context, target string, cut float64) (*proxy, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, cut: cut, conns: make(map[net.Conn]struct{}), resume: make(chan struct{})}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target) //nolint:noctx // close ends it
	if err != nil {
		client.Close() //nolint:errcheck // it has nothing to say
		return
	}
	p.track(client, server)
	var wg sync.WaitGroup
	wg.Go(func() { p.pump(server, client, 0) })
	p.pump(client, server, p.cut)
	wg.Wait()
}

func (p *proxy) track(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
}

// pump copies until one side ends, and then ends the other. With a probability it
// ends both where there was something to copy.
func (p *proxy) pump(to, from net.Conn, cut float64) {
	defer func() {
		to.Close()   //nolint:errcheck // the other side sees it
		from.Close() //nolint:errcheck // it has ended
		p.mu.Lock()
		delete(p.conns, to)
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.waitWhileStalled()
		if n > 0 && cut > 0 && rand.Float64() < cut {
			p.cuts.Add(1)
			return
		}
		if _, writeErr := to.Write(buf[:n]); writeErr != nil || err != nil {
			return
		}
	}
}

// stall holds all traffic up until it is called again.
func (p *proxy) stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.resume = make(chan struct{})
	} else {
		close(p.resume)
	}
	p.stalled.Store(on)
}

func (p *proxy) waitWhileStalled() {
	if !p.stalled.Load() {
		return
	}
	p.mu.Lock()
	resume := p.resume
	p.mu.Unlock()
	<-resume
}

func (p *proxy) close() error {
	if p.stalled.Load() {
		p.stall(false)
	}
	err := p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close() //nolint:errcheck // whatever it was doing
	}
	p.mu.Unlock()
	p.wg.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
