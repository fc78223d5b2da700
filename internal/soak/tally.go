//go:build unix

package main

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// event is one line of a journal.
type event struct {
	at    int64
	words []string
}

// tally is what all journals of a row say together.
type tally struct {
	sent     map[string]string        // key by id
	ok       map[string]time.Duration // latency by id
	okAt     map[string]int64
	failed   map[string]string // outcome by id
	texts    map[string]string // error by id
	begun    map[string]bool   // by id, in any queue
	cut      int               // handlers that ended with an error
	done     map[string]map[string]int
	doneAt   map[string][]string // ids by queue, in the order in which they were first done
	routines int                 // most goroutines of a process
	memory   int                 // most KiB of a process
}

func (l *lab) tally() (*tally, error) {
	events, err := l.events()
	if err != nil {
		return nil, err
	}
	t := &tally{
		sent: make(map[string]string), ok: make(map[string]time.Duration), okAt: make(map[string]int64),
		failed: make(map[string]string), texts: make(map[string]string), begun: make(map[string]bool),
		done: make(map[string]map[string]int), doneAt: make(map[string][]string),
	}
	for _, e := range events {
		if err := t.add(e); err != nil {
			return nil, fmt.Errorf("journal line %q: %w", e.words, err)
		}
	}
	return t, nil
}

// events returns the lines of all journals in the order of their times. A line
// that a kill cut short is left out.
func (l *lab) events() ([]event, error) {
	files, err := filepath.Glob(filepath.Join(l.dir, "*.journal"))
	if err != nil {
		return nil, err
	}
	var events []event
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		scanner := bufio.NewScanner(f)
		for scanner.Scan() {
			words := strings.Split(scanner.Text(), " ")
			at, err := strconv.ParseInt(words[0], 10, 64)
			if err == nil && len(words) > 1 {
				events = append(events, event{at, words[1:]})
			}
		}
		if err := scanner.Err(); err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return events, nil
}

func (t *tally) add(e event) error {
	w := e.words
	switch {
	case w[0] == "sent" && len(w) == 3:
		t.sent[w[1]] = w[2]
	case w[0] == "ok" && len(w) == 3:
		n, err := strconv.ParseInt(w[2], 10, 64)
		if err != nil {
			return err
		}
		t.ok[w[1]] = time.Duration(n)
		t.okAt[w[1]] = e.at
	case w[0] == "failed" && len(w) > 3:
		t.failed[w[1]] = w[2]
		t.texts[w[1]] = strings.Join(w[3:], " ")
	case w[0] == "begin" && len(w) == 5:
		t.begun[w[2]] = true
	case w[0] == "error":
		t.cut++
	case w[0] == "done" && len(w) == 3:
		if t.done[w[1]] == nil {
			t.done[w[1]] = make(map[string]int)
		}
		if t.done[w[1]][w[2]]++; t.done[w[1]][w[2]] == 1 {
			t.doneAt[w[1]] = append(t.doneAt[w[1]], w[2])
		}
	case w[0] == "end" && len(w) == 3:
		routines, err := strconv.Atoi(w[1])
		if err != nil {
			return err
		}
		memory, err := strconv.Atoi(w[2])
		if err != nil {
			return err
		}
		t.routines, t.memory = max(t.routines, routines), max(t.memory, memory)
	}
	return nil
}

// lost counts messages that Publish returned nil for and a queue has not handled.
func (t *tally) lost(queue string) int {
	n := 0
	for id := range t.ok {
		if t.done[queue][id] == 0 {
			n++
		}
	}
	return n
}

// invented counts handled messages that nobody sent.
func (t *tally) invented() int {
	n := 0
	for _, ids := range t.done {
		for id := range ids {
			if _, ok := t.sent[id]; !ok {
				n++
			}
		}
	}
	return n
}

// duplicated counts what a queue handled more than once.
func (t *tally) duplicated(queue string) int {
	n := 0
	for _, times := range t.done[queue] {
		n += times - 1
	}
	return n
}

// reordered counts messages of a key that were done after a later one. Those
// whose Publish failed may come whenever they like.
func (t *tally) reordered(queue string) int {
	last, n := make(map[string]int), 0
	for _, id := range t.doneAt[queue] {
		key := t.sent[id]
		if _, ok := t.ok[id]; !ok || key == "-" {
			continue
		}
		sequence, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
		if err != nil {
			continue
		}
		if sequence < last[key] {
			n++
		}
		last[key] = max(last[key], sequence)
	}
	return n
}

// falseFailures counts messages that were handled although Publish said that
// they were certainly not taken.
func (t *tally) falseFailures() int {
	n := 0
	for id, outcome := range t.failed {
		if outcome != "uncertain" && t.begun[id] {
			n++
		}
	}
	return n
}

// latency returns a quantile of the latencies.
func (t *tally) latency(q float64) time.Duration {
	all := make([]time.Duration, 0, len(t.ok))
	for _, d := range t.ok {
		all = append(all, d)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(int(q*float64(len(all))), len(all)-1)]
}

// check counts what must never be, in all rows.
func (v *verdict) check(t *tally, queues ...string) {
	v.note("%d published", len(t.ok))
	if len(t.ok) == 0 {
		v.fail("nothing was published")
	}
	for _, q := range queues {
		v.want("lost by "+q, t.lost(q), 0)
		v.want("out of order in "+q, t.reordered(q), 0)
	}
	v.want("invented", t.invented(), 0)
	v.want("handled although Publish certainly failed", t.falseFailures(), 0)
}

// noErrors wants every Publish to have succeeded.
func (v *verdict) noErrors(t *tally) {
	v.want("errors of Publish", len(t.failed), 0)
	for _, text := range t.texts {
		v.note("%q", text)
		break
	}
	v.want("Publish that never returned", len(t.sent)-len(t.ok)-len(t.failed), 0)
}
