package memorybroker

// owners are the members that hold entries of a key: nobody else may take more
// of them.
type owners struct {
	byKey map[string]*ownership
	spare *ownership // list of those to use again
}

// ownership binds a key to a member.
type ownership struct {
	member *source
	held   int
	next   *ownership
}

// of returns the owner of the key of e, or nil.
func (o *owners) of(e *entry) *source {
	if len(o.byKey) == 0 {
		return nil
	}
	if own := o.byKey[e.record.Key]; own != nil {
		return own.member
	}
	return nil
}

// add counts e, which its member holds.
func (o *owners) add(e *entry) {
	if e.record.Key == "" {
		return
	}
	own := o.byKey[e.record.Key]
	if own == nil {
		own = o.allocate()
		own.member = e.member
		o.byKey[e.record.Key] = own
	}
	own.held++
	e.owner = own
}

func (o *owners) allocate() *ownership {
	own := o.spare
	if own == nil {
		return new(ownership)
	}
	o.spare, own.next = own.next, nil
	return own
}

// release undoes add and reports whether the key has no owner any more.
func (o *owners) release(e *entry) bool {
	own := e.owner
	if own == nil {
		return false
	}
	e.owner = nil
	if own.held--; own.held > 0 {
		return false
	}
	delete(o.byKey, e.record.Key)
	*own = ownership{next: o.spare}
	o.spare = own
	return true
}
