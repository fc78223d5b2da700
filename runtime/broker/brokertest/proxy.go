package brokertest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy passes TCP connections to a server until it is told to cut them. It may be
// used concurrently.
type Proxy struct {
	listener net.Listener
	server   string
	running  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{}
	shut bool // nobody is let in
}

// StartProxy starts a proxy to the server at an address, host:port, on a free port of
// this machine. It ends with the test.
func StartProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, server: server, open: make(map[net.Conn]struct{})}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Address returns where the proxy listens, as host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		var dialer net.Dialer
		server, err := dialer.DialContext(context.Background(), "tcp", p.server)
		if err != nil {
			end(client)
			continue
		}
		p.pass(client, server)
	}
}

func (p *Proxy) pass(client, server net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		end(client, server)
		return
	}
	p.open[client], p.open[server] = struct{}{}, struct{}{}
	for _, to := range [][2]net.Conn{{client, server}, {server, client}} {
		p.running.Go(func() {
			_, _ = io.Copy(to[0], to[1]) //nolint:errcheck // it ends when one of them does
			end(client, server)
		})
	}
}

// Cut ends all connections with what is on its way in them. New ones are let in.
func (p *Proxy) Cut() { p.set(false) }

// Interrupt ends all connections and lets nobody in until the result is called. It
// is what [Features].Interrupt wants.
func (p *Proxy) Interrupt(testing.TB) (restore func()) {
	p.set(true)
	return func() { p.set(false) }
}

func (p *Proxy) set(shut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = shut
	for c := range p.open {
		end(c)
	}
	clear(p.open)
}

func (p *Proxy) close() {
	end(p.listener)
	p.set(true)
	p.running.Wait()
}

// end closes what may be closed already.
func end(what ...io.Closer) {
	for _, c := range what {
		_ = c.Close() //nolint:errcheck // see above
	}
}
