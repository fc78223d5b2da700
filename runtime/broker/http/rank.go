package httpbroker

// rank is how well a member suits a message; the highest wins. It depends on
// nothing but their names, so that all publishers send a key to the same member
// and a repetition meets the member that had the first one, and members that
// come and go move only what is theirs.
func rank(member, choice string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211 // of 64-bit FNV-1a
	x := uint64(offset)
	for i := range len(member) {
		x = (x ^ uint64(member[i])) * prime
	}
	x *= prime // a zero byte in between
	for i := range len(choice) {
		x = (x ^ uint64(choice[i])) * prime
	}
	x ^= x >> 33 // the finalizer of MurmurHash3: FNV alone mixes its last bytes too little
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// memberName is what a member is ranked by: its instance, or its address where
// the registry knows no instances.
func (e Entry) memberName() string {
	if e.Instance != "" {
		return e.Instance
	}
	return e.Address
}
