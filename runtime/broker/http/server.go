package httpbroker

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	readTimeout      = 10 * time.Second // of a request, from its first byte to its last
	idleTimeout      = 2 * time.Minute
	maxRequestHeader = 16 << 10
)

// server knows the sources of a driver and takes messages for them, behind its
// own listener or mounted in somebody else's server.
type server struct {
	driver *Driver
	quota  quota
	denied atomic.Int64 // when a refusal was last logged, in ns

	http     *http.Server // nil when mounted
	listener net.Listener
	served   chan struct{} // closed when Serve has returned
	streams  *streams

	mu       sync.RWMutex
	sources  []*source          // the oldest first
	instance map[string]*source // by Entry.Instance
}

func newServer(d *Driver) *server { return &server{driver: d, instance: make(map[string]*source)} }

func (s *server) options() *options    { return &s.driver.options }
func (s *server) logger() *slog.Logger { return s.driver.options.logger() }

// listen starts the driver's own listener.
func (s *server) listen(ctx context.Context) error {
	address := s.options().listen
	if err := s.mayListen(ctx, address); err != nil {
		return err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s.listener = &boundedListener{Listener: l, limit: int64(s.options().maxConnections)}
	s.served = make(chan struct{})
	s.streams = newStreams()
	s.http = &http.Server{
		Handler:        s,
		ReadTimeout:    readTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxRequestHeader,
		ErrorLog:       slog.NewLogLogger(s.logger().Handler(), slog.LevelDebug),
	}
	serving := s.listener
	if t := s.options().transport; t != nil {
		serving = tls.NewListener(s.listener, t.server())
		s.http.ConnContext = s.connContext
	}
	go s.serve(s.http, serving, s.served)
	return nil
}

func (s *server) serve(h *http.Server, l net.Listener, served chan struct{}) {
	defer close(served)
	if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		s.logger().Error("httpbroker: server ended", slog.Any("error", err))
	}
}

// mayListen refuses to be reached by other machines without protection.
func (s *server) mayListen(ctx context.Context, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	loopback, err := isLoopback(ctx, host)
	if loopback {
		return nil
	}
	if bad := s.options().checkReach(address); bad != nil {
		return errors.Join(err, bad)
	}
	return nil
}

// isLoopback reports whether all addresses of a host are this machine's own. One that
// cannot be looked up is not, for all that is known.
func isLoopback(ctx context.Context, host string) (bool, error) {
	if host == "" {
		return false, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return err == nil && !slices.ContainsFunc(ips, func(ip netip.Addr) bool { return !ip.Unmap().IsLoopback() }), err
}

// shutdown lets answers be written until ctx ends.
func (s *server) shutdown(ctx context.Context) error {
	if s.http == nil {
		return nil
	}
	s.streams.endIdle()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.served
	return errors.Join(err, s.streams.end(ctx))
}

func (s *server) add(src *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources = append(s.sources, src)
	s.instance[src.entry.Instance] = src
}

func (s *server) remove(src *source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources = slices.DeleteFunc(s.sources, func(other *source) bool { return other == src })
	delete(s.instance, src.entry.Instance)
}

// all returns the sources there are.
func (s *server) all() []*source {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.sources)
}

// find returns the source that a frame is for.
func (s *server) find(f *frame) (*source, *refusal) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	serves := func(src *source) bool { return src.entry.Topic == f.topic && src.entry.Queue == f.queue }
	if f.instance != "" {
		if src := s.instance[f.instance]; src != nil && serves(src) {
			return src, nil
		}
	}
	i := slices.IndexFunc(s.sources, serves)
	switch {
	case i < 0:
		return nil, &refusal{http.StatusNotFound, "no such subscription"}
	case f.instance != "":
		return nil, &refusal{http.StatusMisdirectedRequest, "another instance of the subscription"}
	}
	return s.sources[i], nil
}

// boundedListener closes connections beyond its limit at once, so that those who
// hold theirs open cannot fill the memory.
type boundedListener struct {
	net.Listener
	limit int64
	open  atomic.Int64
}

// Accept implements [net.Listener].
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			return &boundedConn{Conn: c, listener: l}, nil
		}
		l.open.Add(-1)
		c.Close() //nolint:errcheck // it was never used
	}
}

type boundedConn struct {
	net.Conn
	listener *boundedListener
	closed   atomic.Bool
}

// Close implements [net.Conn].
func (c *boundedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.listener.open.Add(-1)
	}
	return c.Conn.Close()
}
