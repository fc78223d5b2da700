package mqttbroker

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"sync"
)

// place is one of the members of a queue in this process: the first one that is free,
// so that a process that comes back has the client ids that it had before.
type place struct {
	key    string
	prefix string
	number int
}

// places are those that are taken, in all brokers of the process.
var places = struct {
	sync.Mutex
	taken map[string]map[int]bool
}{taken: make(map[string]map[int]bool)}

func takePlace(server, prefix string) *place {
	places.Lock()
	defer places.Unlock()
	p := &place{key: server + " " + prefix, prefix: prefix}
	if places.taken[p.key] == nil {
		places.taken[p.key] = make(map[int]bool)
	}
	for places.taken[p.key][p.number] {
		p.number++
	}
	places.taken[p.key][p.number] = true
	return p
}

func (p *place) id() string { return p.prefix + "-" + strconv.Itoa(p.number) }

func (p *place) leave() {
	if p == nil {
		return
	}
	places.Lock()
	defer places.Unlock()
	delete(places.taken[p.key], p.number)
	if len(places.taken[p.key]) == 0 {
		delete(places.taken, p.key)
	}
}

// short returns a name for a filter that every server takes in a client id.
func short(filter string) string {
	sum := sha256.Sum256([]byte(filter))
	return base32.StdEncoding.EncodeToString(sum[:])[:16]
}
