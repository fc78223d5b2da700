package memorybroker

// entryList is a list of entries. An entry is in at most one.
type entryList struct{ first, last *entry }

func (l *entryList) push(e *entry) { l.insertAfter(l.last, e) }

// insertAfter links e behind prev, or in front of all when prev is nil.
func (l *entryList) insertAfter(prev, e *entry) {
	e.prev = prev
	if prev == nil {
		e.next, l.first = l.first, e
	} else {
		e.next, prev.next = prev.next, e
	}
	if e.next == nil {
		l.last = e
	} else {
		e.next.prev = e
	}
}

func (l *entryList) remove(e *entry) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}

// moveTo moves all entries behind those of other.
func (l *entryList) moveTo(other *entryList) {
	if l.first == nil {
		return
	}
	if l.first.prev = other.last; other.last == nil {
		other.first = l.first
	} else {
		other.last.next = l.first
	}
	other.last = l.last
	*l = entryList{}
}

// pop removes the last entry, or returns nil.
func (l *entryList) pop() *entry {
	e := l.last
	if e != nil {
		l.remove(e)
	}
	return e
}
