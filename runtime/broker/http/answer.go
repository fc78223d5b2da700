package httpbroker

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"time"
)

const (
	// patience is how long an answer waits for all of its results before it sends
	// those that there are, and 202 for the others. It is no delay of a message:
	// after a message that took longer an answer does not wait at all.
	patience = time.Millisecond

	// pulse is how often an answer says that its messages are alive.
	pulse = time.Second

	// writeTimeout is how long a client may take to accept a part of an answer.
	writeTimeout = 10 * time.Second
)

// answer collects the results of the messages of one request and writes them:
// all at once when they come soon, else one by one.
type answer struct {
	mu    sync.Mutex
	ready []result
	open  int // results to come
	wake  chan struct{}

	messages int
	pending  []bool // by index: no final result was written; of the writer only
	out      []byte
}

func newAnswer(messages int) *answer {
	return &answer{messages: messages, open: messages, wake: make(chan struct{}, 1), ready: make([]result, 0, messages)}
}

// finish adds a result.
func (a *answer) finish(r result) {
	a.mu.Lock()
	a.ready = append(a.ready, r)
	a.open--
	all := a.open == 0
	wake := all || len(a.ready) == 1
	a.mu.Unlock()
	if wake {
		a.signal()
	}
}

func (a *answer) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// collect takes the results that are ready and reports whether they are the last.
func (a *answer) collect() (ready []result, all bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ready, a.ready = a.ready, nil
	return ready, a.open == 0
}

func (a *answer) complete() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open == 0
}

// write writes the results until there are all, or the client is gone.
func (a *answer) write(ctx context.Context, to outlet, wait time.Duration) error {
	if a.await(ctx, wait) {
		ready, _ := a.collect()
		a.append(ready)
		return to.write(a.out, true)
	}
	ctx, stop, err := to.watch(ctx)
	if err != nil {
		return err
	}
	defer stop()
	return a.stream(ctx, to)
}

// await waits for all results, but no longer than wait.
func (a *answer) await(ctx context.Context, wait time.Duration) bool {
	if !a.complete() {
		runtime.Gosched() // a quick handler is done when the others have had their turn
	}
	if a.complete() || wait == 0 {
		return a.complete()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for !a.complete() {
		select {
		case <-a.wake:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// stream writes 202 for what is not ready, then each result as it comes, and
// now and then 202 again, so that the client knows a slow handler from a
// broken connection.
func (a *answer) stream(ctx context.Context, to outlet) error {
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	a.pending = make([]bool, a.messages)
	for i := range a.pending {
		a.pending[i] = true
	}
	alive := true
	for {
		ready, all := a.collect()
		a.append(ready)
		if alive && !all {
			a.appendPending()
		}
		if err := to.write(a.out, all); err != nil || all {
			return err
		}
		a.out = a.out[:0]
		alive = false
		select {
		case <-a.wake:
		case <-ticker.C:
			alive = true
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (a *answer) append(ready []result) {
	for _, r := range ready {
		a.out = appendResult(a.out, r)
		if a.pending != nil {
			a.pending[r.index] = false
		}
	}
}

func (a *answer) appendPending() {
	for i, pending := range a.pending {
		if pending {
			a.out = appendResult(a.out, result{index: i, status: http.StatusAccepted})
		}
	}
}

// outlet is where an answer goes.
type outlet interface {
	// answer lets the engine work on what has arrived, and writes the answer: in one
	// piece when all results come within wait.
	answer(ctx context.Context, work work, a *answer, wait time.Duration) error

	// write writes results, and with the last ones the end of the answer.
	write(results []byte, last bool) error

	// watch is called before an answer is written in parts. Its context ends with
	// the client.
	watch(ctx context.Context) (context.Context, func(), error)
}

// httpOutlet is an answer of HTTP.
type httpOutlet struct {
	http.ResponseWriter
	control *http.ResponseController // nil when the answer is written at once
}

func (o *httpOutlet) answer(ctx context.Context, work work, a *answer, wait time.Duration) error {
	work(always)
	return a.write(ctx, o, wait)
}

func always() bool { return true }

func (o *httpOutlet) watch(ctx context.Context) (context.Context, func(), error) {
	o.control = http.NewResponseController(o.ResponseWriter)
	// The request was read; only its client is watched, by the server.
	return ctx, func() {}, o.control.SetReadDeadline(time.Time{})
}

func (o *httpOutlet) write(results []byte, _ bool) error {
	if o.control == nil || len(results) == 0 {
		_, err := o.Write(results)
		return err
	}
	if err := o.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := o.Write(results); err != nil {
		return err
	}
	return o.control.Flush()
}
