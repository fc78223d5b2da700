package kafkabroker_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// cluster is a Kafka of one server in the test process.
type cluster struct {
	*kfake.Cluster
	listener *listener
}

// newCluster starts a Kafka whose topics have one partition by default, that
// allows short sessions, and that ends with the test.
func newCluster(t testing.TB, opts ...kfake.Opt) *cluster {
	t.Helper()
	c := &cluster{listener: new(listener)}
	started, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DefaultNumPartitions(1),
		kfake.GroupMinSessionTimeout(1),
		kfake.ListenFn(c.listener.listen),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(started.Close)
	c.Cluster = started
	return c
}

func (c *cluster) url() string { return "kafka://" + c.ListenAddrs()[0] }

// listener is a listener that can go away for a while and takes its connections
// with it.
type listener struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once

	mu      sync.Mutex
	address net.Addr
	actual  net.Listener
	conns   []net.Conn
}

func (l *listener) listen(network, address string) (net.Listener, error) {
	l.incoming, l.closed = make(chan net.Conn), make(chan struct{})
	if err := l.open(network, address); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *listener) open(network, address string) error {
	actual, err := new(net.ListenConfig).Listen(context.Background(), network, address)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.actual, l.address = actual, actual.Addr()
	go l.accept(actual)
	return nil
}

func (l *listener) accept(actual net.Listener) {
	for {
		conn, err := actual.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
		select {
		case l.incoming <- conn:
		case <-l.closed:
			return
		}
	}
}

// cut closes all connections and lets nobody in until the result is called.
func (l *listener) cut(t testing.TB) (restore func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeAll()
	return func() {
		if err := l.open("tcp", l.address.String()); err != nil {
			t.Errorf("listen again: %v", err)
		}
	}
}

// closeAll cuts what there is. The caller holds mu.
func (l *listener) closeAll() {
	_ = l.actual.Close() //nolint:errcheck // it may be closed
	for _, c := range l.conns {
		_ = c.Close() //nolint:errcheck // as above
	}
	l.conns = nil
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Addr() net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeAll()
	return nil
}
