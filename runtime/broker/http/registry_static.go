package httpbroker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// dnsInterval is how old an answer of DNS may be.
const dnsInterval = 5 * time.Second

// StaticRegistry is a [Registry] that is told once who subscribes to what. It
// knows a queue for as long as it lives, but nothing of subscriptions without a
// queue; what is registered with it is ignored.
type StaticRegistry struct {
	entries  []Entry
	resolver *net.Resolver // nil: addresses are taken as they are
	none     *View         // of topics without an entry
	mu       sync.Mutex
	topics   map[string]*staticView
}

type staticView struct {
	view *View
	read time.Time
}

var _ Registry = (*StaticRegistry)(nil)

// NewStaticRegistry returns a registry of members at fixed addresses. Each entry
// needs Topic and Queue; without an Address it names a queue that has no member
// yet. Instance is optional. Where one process has several subscriptions of a
// queue, the oldest one gets what is sent without an instance.
func NewStaticRegistry(entries ...Entry) (*StaticRegistry, error) {
	for _, e := range entries {
		if e.Queue == "" {
			return nil, fmt.Errorf("%w: a static entry needs a queue", errEntry)
		}
		if err := e.check(); err != nil {
			return nil, err
		}
	}
	return &StaticRegistry{entries: entries, none: new(View), topics: make(map[string]*staticView)}, nil
}

// NewDNSRegistry returns a registry whose addresses name services: each address
// that DNS knows for the host, as for a headless service, is a member. Answers
// are at most 5 s old. Resolver nil means net.DefaultResolver.
func NewDNSRegistry(resolver *net.Resolver, entries ...Entry) (*StaticRegistry, error) {
	r, err := NewStaticRegistry(entries...)
	if err != nil {
		return nil, err
	}
	if r.resolver = resolver; resolver == nil {
		r.resolver = net.DefaultResolver
	}
	return r, nil
}

// Register implements [Registry] and does nothing.
func (*StaticRegistry) Register(context.Context, Entry, time.Duration) error { return nil }

// Deregister implements [Registry] and does nothing.
func (*StaticRegistry) Deregister(context.Context, Entry) error { return nil }

// Lookup implements [Registry]. Names that cannot be resolved have no members.
func (r *StaticRegistry) Lookup(ctx context.Context, topic string) (*View, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	seen := r.topics[topic]
	if seen != nil && (r.resolver == nil || now.Sub(seen.read) < dnsInterval) {
		return seen.view, nil
	}
	var entries []Entry
	for _, e := range r.entries {
		if e.Topic != topic {
			continue
		}
		entries = append(entries, Entry{Topic: e.Topic, Queue: e.Queue})
		entries = append(entries, r.resolve(ctx, e)...)
	}
	if len(entries) == 0 {
		return r.none, nil
	}
	fresh := newView(entries)
	if seen != nil && seen.view.same(fresh) {
		fresh = seen.view
	}
	r.topics[topic] = &staticView{fresh, now}
	return fresh, nil
}

// resolve returns the members behind an entry.
func (r *StaticRegistry) resolve(ctx context.Context, e Entry) []Entry {
	if r.resolver == nil || !e.member() {
		return []Entry{e}
	}
	host, port, err := net.SplitHostPort(e.Address)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dnsInterval)
	defer cancel()
	hosts, err := r.resolver.LookupHost(ctx, host)
	if err != nil {
		return nil
	}
	members := make([]Entry, 0, len(hosts))
	for _, h := range hosts {
		e.Address = net.JoinHostPort(h, port)
		members = append(members, e)
	}
	return members
}

// Watch implements [Registry].
func (r *StaticRegistry) Watch(ctx context.Context, topic string, seen *View) error {
	ticker := time.NewTicker(dnsInterval)
	defer ticker.Stop()
	for {
		view, err := r.Lookup(ctx, topic)
		if err == nil && view != seen && !seen.same(view) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-ticker.C:
		}
	}
}
