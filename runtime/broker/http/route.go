package httpbroker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// topic is what a publisher knows of one topic, and keeps while its view
// changes.
type topic struct {
	publisher *publisher
	name      string
	current   atomic.Pointer[route]

	mu       sync.Mutex
	queues   map[string]*queue
	watching map[*View]chan struct{} // closed when the registry says something else than the view
}

// queue is what a publisher keeps for one queue of a topic.
type queue struct {
	topic   *topic
	name    string
	turns   turns
	backlog backlog
}

// route is where the messages of a topic go at the moment. It does not change.
type route struct {
	view   *View
	queues []destination
	single []*endpoint // of subscriptions without a queue
}

// destination is a queue and its members at the moment.
type destination struct {
	queue   *queue
	members []*endpoint
}

func (r *route) empty() bool { return len(r.queues)+len(r.single) == 0 }

// members returns the members of a queue.
func (r *route) members(q *queue) []*endpoint {
	for i := range r.queues {
		if r.queues[i].queue == q {
			return r.queues[i].members
		}
	}
	return nil
}

// route returns where messages of a topic go now.
func (p *publisher) route(ctx context.Context, name string) (*topic, *route, error) {
	view, err := p.registry.Lookup(ctx, name)
	if err != nil {
		return nil, nil, fmt.Errorf("look up %q: %w", name, err)
	}
	if len(view.Entries) == 0 && len(p.options.required[name]) == 0 && !p.knows(name) {
		return nil, &route{view: view}, nil // nothing is kept for topics that nobody subscribes to
	}
	t := p.topic(name)
	r := t.routeOf(view)
	return t, r, nil
}

func (p *publisher) knows(name string) bool {
	_, ok := p.topics.Load(name)
	return ok
}

func (p *publisher) topic(name string) *topic {
	t, ok := p.topics.Load(name)
	if !ok {
		t, _ = p.topics.LoadOrStore(name,
			&topic{publisher: p, name: name, queues: make(map[string]*queue), watching: make(map[*View]chan struct{})})
	}
	return t.(*topic) //nolint:forcetypeassert // it holds nothing else
}

// routeOf returns the route of a view.
func (t *topic) routeOf(view *View) *route {
	if r := t.current.Load(); r != nil && r.view == view {
		return r
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.current.Load()
	if old != nil && old.view == view {
		return old
	}
	r := t.newRoute(view, old)
	t.current.Store(r)
	return r
}

// newRoute makes a route that keeps the endpoints that old has. The caller holds
// mu.
func (t *topic) newRoute(view *View, old *route) *route {
	known := old.endpoints()
	members := make(map[string][]*endpoint)
	for _, name := range t.publisher.options.required[t.name] {
		members[name] = nil
	}
	r := &route{view: view}
	for _, e := range view.Entries {
		if e.Topic != t.name || e.check() != nil {
			continue // a hint that makes no sense is none
		}
		var ep *endpoint
		if e.member() {
			if ep = known[e]; ep == nil {
				ep = newEndpoint(t.publisher, e)
			}
		}
		switch {
		case e.Queue == "":
			r.single = append(r.single, ep)
		case ep == nil:
			members[e.Queue] = append(members[e.Queue], nil...)
		default:
			members[e.Queue] = append(members[e.Queue], ep)
		}
	}
	for name, eps := range members {
		r.queues = append(r.queues, destination{t.queue(name), eps})
	}
	kept := r.endpoints()
	for e, ep := range known {
		if kept[e] == nil {
			ep.retire()
		}
	}
	slices.SortFunc(r.queues, func(a, b destination) int { return cmp.Compare(a.queue.name, b.queue.name) })
	return r
}

// endpoints returns the endpoints of a route, which may be nil.
func (r *route) endpoints() map[Entry]*endpoint {
	all := make(map[Entry]*endpoint)
	if r == nil {
		return all
	}
	for _, ep := range r.single {
		all[ep.entry] = ep
	}
	for _, d := range r.queues {
		for _, ep := range d.members {
			all[ep.entry] = ep
		}
	}
	return all
}

// queue returns what is kept for a queue. The caller holds mu.
func (t *topic) queue(name string) *queue {
	q := t.queues[name]
	if q == nil {
		q = &queue{topic: t, name: name}
		q.backlog.queue = q
		t.queues[name] = q
	}
	return q
}

// changed returns a channel that is closed when the registry may say something
// else about the topic than seen.
func (t *topic) changed(seen *View) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.watching[seen]
	if c == nil {
		c = make(chan struct{})
		t.watching[seen] = c
		t.publisher.running.Go(func() { t.watch(seen) })
	}
	return c
}

// watch waits for a change on behalf of all who saw the same.
func (t *topic) watch(seen *View) {
	t.publisher.registry.Watch(t.publisher.life, t.name, seen) //nolint:errcheck // those who wait look for themselves
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.watching[seen])
	delete(t.watching, seen)
}
