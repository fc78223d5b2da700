package kafkabroker

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// link watches the connections of all clients of a driver. One that is idle is
// closed, and one that broke while idle is not noticed; so what counts is whether
// a server could be reached when somebody tried last. The link is lost when none
// could.
type link struct {
	broken atomic.Bool // read without mu

	mu        sync.Mutex // held while telling, so that changes are told in their order
	tell      func(lost error)
	reachable map[int32]bool // by node
}

var (
	_ kgo.HookBrokerConnect = (*link)(nil)
	_ kgo.HookBrokerRead    = (*link)(nil)
)

// OnBrokerConnect implements [kgo.HookBrokerConnect].
func (l *link) OnBrokerConnect(b kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if b.NodeID < 0 || errors.Is(err, context.Canceled) {
		return // a seed, which is one of the nodes by another name, or the client was closed
	}
	l.tried(b.NodeID, err)
}

// OnBrokerRead implements [kgo.HookBrokerRead].
func (l *link) OnBrokerRead(b kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err == nil && b.NodeID >= 0 && l.broken.Load() {
		l.tried(b.NodeID, nil)
	}
}

func (l *link) tried(node int32, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reachable[node] = err == nil
	lost := err
	for _, ok := range l.reachable {
		if ok {
			lost = nil
		}
	}
	if (lost != nil) != l.broken.Load() {
		l.broken.Store(lost != nil)
		l.tell(lost)
	}
}
