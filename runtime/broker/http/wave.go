package httpbroker

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// wave is the messages of a backlog that leave together: the oldest ones, of
// each key one.
type wave struct {
	publisher *publisher
	backlog   *backlog
	legs      []*leg
	verdicts  []verdict // of the legs; those that were not sent have none
	sent      int
}

// send empties the backlog in its order.
func (b *backlog) send(p *publisher) {
	for w := b.next(p); w != nil && p.life.Err() == nil; w = b.next(p) {
		w.send(p.life)
	}
}

// next returns the next wave, or ends the sending.
func (b *backlog) next(p *publisher) *wave {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.sending = false
		b.waiting = nil
		if b.empty != nil {
			close(b.empty)
			b.empty = nil
		}
		return nil
	}
	w := &wave{publisher: p, backlog: b}
	keys, size := make(map[string]bool), 0
	for _, l := range b.waiting {
		size += len(l.message.encoded)
		if len(w.legs) == maxBatchMessages || keys[l.message.key] || size > maxBatchBytes && len(w.legs) > 0 {
			break
		}
		if l.message.key != "" {
			keys[l.message.key] = true
		}
		w.legs = append(w.legs, l)
	}
	w.verdicts = make([]verdict, len(w.legs))
	return w
}

// send gives the messages to their members and takes those that were accepted out
// of the backlog. The others stay in their place.
func (w *wave) send(ctx context.Context) {
	defer w.giveTurns(w.takeTurns(ctx))
	groups, err := w.groups(ctx)
	if w.sent == 0 {
		w.wait(ctx, err)
		return
	}
	var wg sync.WaitGroup
	for ep, places := range groups {
		wg.Go(func() { w.deliver(ctx, ep, places) })
	}
	wg.Wait()
	if ctx.Err() == nil {
		w.conclude()
	}
}

func (w *wave) takeTurns(ctx context.Context) (taken int) {
	for i, l := range w.legs {
		if _, err := w.backlog.queue.turns.take(ctx, l.message.key, l.deadline); err != nil {
			return i
		}
	}
	return len(w.legs)
}

func (w *wave) giveTurns(taken int) {
	for _, l := range w.legs[:taken] {
		w.backlog.queue.turns.give(l.message.key)
	}
}

// groups returns the places of the messages by the member that they go to, up to
// the first one that has none.
func (w *wave) groups(ctx context.Context) (map[*endpoint][]int, error) {
	groups := make(map[*endpoint][]int)
	for i, l := range w.legs {
		ep, _, err := l.choose(ctx)
		if err != nil || ep == nil {
			return groups, err
		}
		groups[ep] = append(groups[ep], i)
		w.sent++
	}
	return groups, nil
}

// wait returns when the first message may have a member.
func (w *wave) wait(ctx context.Context, err error) {
	first := w.legs[0]
	if err == nil {
		var r *route
		if _, r, err = w.publisher.route(ctx, first.topic.name); err == nil {
			delay, mended := r.wait(first.queue)
			err = first.pause(ctx, r, delay, mended)
		}
	}
	if err != nil {
		first.failures++
		w.publisher.pause(backoff(first.failures))
	}
}

func (w *wave) deliver(ctx context.Context, ep *endpoint, places []int) {
	ms := make([]*outgoing, len(places))
	for i, place := range places {
		ms[i] = w.legs[place].message
	}
	for i, v := range ep.deliverAll(ctx, ms, w.legs[0].deadline) {
		place := places[i]
		w.verdicts[place] = v
		if v.kind == cut {
			w.legs[place].doubt(ep)
		}
	}
}

// conclude takes out what was accepted or refused for good.
func (w *wave) conclude() {
	ended := make(map[*leg]bool, w.sent)
	failures := 0
	for i, l := range w.legs[:w.sent] {
		switch v := w.verdicts[i]; v.kind {
		case done:
			ended[l] = true
		case rejected:
			ended[l] = true
			w.publisher.options.logger().Error("httpbroker: accepted message was rejected",
				slog.String("topic", l.topic.name), slog.String("queue", l.queue.name),
				slog.String("key", l.message.key), slog.Any("error", v.err))
		case unsent, leaving, full, failed, cut:
			l.failures++
			failures = max(failures, l.failures)
		}
	}
	w.backlog.remove(ended)
	for l := range ended {
		w.publisher.backlogs.give(int64(len(l.message.encoded)))
	}
	if failures > 0 {
		w.publisher.pause(backoff(failures))
	}
}

func (b *backlog) remove(ended map[*leg]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = slices.DeleteFunc(b.waiting, func(l *leg) bool { return ended[l] })
}

// pause waits for a while, or until the publisher ends.
func (p *publisher) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.closed:
	}
}

// deliverAll sends messages in one request, in their order, and waits for their
// verdicts.
func (ep *endpoint) deliverAll(ctx context.Context, ms []*outgoing, deadline time.Time) []verdict {
	all := make([]*call, len(ms))
	ep.mu.Lock()
	for i, m := range ms {
		all[i] = calls.Get().(*call) //nolint:forcetypeassert // it holds nothing else
		all[i].message, all[i].deadline = m, deadline
		ep.waiting = append(ep.waiting, all[i])
	}
	f := ep.depart()
	ep.startSweeper()
	ep.mu.Unlock()
	if f != nil {
		go f.flyAlone() //nolint:contextcheck // it ends with the last of its calls
	}
	verdicts := make([]verdict, len(ms))
	for i, c := range all {
		verdicts[i] = ep.await(ctx, c)
	}
	return verdicts
}
