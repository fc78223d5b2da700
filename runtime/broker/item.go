package broker

import "time"

// item is a delivery that the engine holds.
type item struct {
	raw      Raw
	received time.Duration // by the clock of the subscription
	lane     *lane         // of its key; nil while the item is alone in the holdings
	place    *logEntry     // with Capabilities.Contiguous
	handled  bool          // the handler was called in this attempt
	delivery RecordDelivery

	state      itemState
	link       *item // next in the fifo that holds it
	prev, next *item // neighbours in the order of arrival
	timer      *time.Timer

	poison  error // why it was given up; only its dead letter is left to publish
	burials int   // how often publishing it failed
}

type itemState uint8

const (
	itemReady   itemState = iota // may start
	itemBlocked                  // waits behind an earlier one of its key
	itemRunning                  // has a worker
	itemParked                   // waits for its retry
)

// fifo is a queue of items, linked through item.link.
type fifo struct {
	head, tail *item
	len        int
}

func (f *fifo) push(it *item) {
	it.link = nil
	if f.tail == nil {
		f.head = it
	} else {
		f.tail.link = it
	}
	f.tail = it
	f.len++
}

func (f *fifo) pop() *item {
	it := f.head
	if it == nil {
		return nil
	}
	f.head, it.link = it.link, nil
	if f.head == nil {
		f.tail = nil
	}
	f.len--
	return it
}

// holdings are the items that a subscription holds: those that may start, those
// that wait behind their key, and all of them in the order of their arrival.
// The subscription's mutex guards them.
type holdings struct {
	ready fifo
	lanes map[string]*lane
	first *item
	last  *item
	len   int
	free  *item // list of items to use again, linked through item.link
	spare []*lane
}

// lane holds the items of one key: one is active, the others wait.
type lane struct {
	active  *item
	waiting fifo
}

// add takes a delivery in: it may start, unless an earlier one of its key is
// held.
func (h *holdings) add(raw *Raw, place *logEntry, now time.Duration) {
	it := h.allocate()
	it.raw, it.received, it.place = *raw, now, place
	it.prev, h.last = h.last, it
	if it.prev == nil {
		h.first = it
	} else {
		it.prev.next = it
	}
	h.len++
	if h.len == 2 && it.prev.lane == nil && it.prev.raw.Key != "" {
		it.prev.lane = h.openLane(it.prev)
	}
	switch {
	case raw.Key == "" || h.len == 1:
		h.makeReady(it)
	case h.lanes[raw.Key] != nil:
		it.lane = h.lanes[raw.Key]
		it.state = itemBlocked
		it.lane.waiting.push(it)
	default:
		it.lane = h.openLane(it)
		h.makeReady(it)
	}
}

func (h *holdings) openLane(active *item) *lane {
	l := &lane{}
	if n := len(h.spare); n > 0 {
		l, h.spare = h.spare[n-1], h.spare[:n-1]
	}
	l.active = active
	h.lanes[active.raw.Key] = l
	return l
}

func (h *holdings) allocate() *item {
	it := h.free
	if it == nil {
		return new(item)
	}
	h.free, it.link = it.link, nil
	return it
}

func (h *holdings) makeReady(it *item) {
	it.state = itemReady
	h.ready.push(it)
}

// remove forgets an item that is not in a fifo and lets the next one of its key
// start.
func (h *holdings) remove(it *item) {
	if l := it.lane; l != nil {
		if l.active = l.waiting.pop(); l.active != nil {
			h.makeReady(l.active)
		} else {
			delete(h.lanes, it.raw.Key)
			h.spare = append(h.spare, l)
		}
	}
	h.unlink(it)
}

func (h *holdings) unlink(it *item) {
	if it.prev == nil {
		h.first = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		h.last = it.prev
	} else {
		it.next.prev = it.prev
	}
	it.prev, it.next = nil, nil
	h.len--
}

// recycle keeps an item that was removed and that no timer knows any more. Clearing all
// of it at once would take longer: while garbage is collected, the collector is told of
// each pointer in it.
func (h *holdings) recycle(it *item) {
	it.raw.Key, it.raw.Value = "", nil
	r := &it.delivery.Record
	r.Key, r.Header, r.Body = "", nil, nil
	it.lane, it.place, it.timer = nil, nil, nil
	it.poison, it.burials = nil, 0
	h.free, it.link = it, h.free
}

// takeUnstarted removes, in the order of their arrival, all items that have not
// started and are not behind one that has.
func (h *holdings) takeUnstarted() []*item {
	var taken []*item
	for it := h.first; it != nil; {
		next := it.next
		if !h.mustStay(it) {
			h.unlink(it)
			taken = append(taken, it)
		}
		it = next
	}
	for _, it := range taken {
		delete(h.lanes, it.raw.Key)
		it.link = nil
		if it.timer != nil {
			it.timer.Stop()
		}
	}
	h.ready = fifo{}
	return taken
}

func (h *holdings) mustStay(it *item) bool {
	if it.state == itemRunning {
		return true
	}
	l := h.lanes[it.raw.Key]
	return l != nil && l.active.state == itemRunning
}
