package redisbroker

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

const (
	// claimInterval is how often a member looks for messages that others have given
	// back or left behind, and how long a read waits on the server.
	claimInterval = 500 * time.Millisecond

	historyPage = 512
)

// batch is an answer of the reader.
type batch struct {
	deliveries []*delivery
	err        error
}

// reading is the state of the reader.
type reading struct {
	connection atomic.Int64 // the id that the server knows it by; 0 for none
	client     rueidis.DedicatedClient
	release    func()
	history    bool      // what was sent on a connection that broke must be asked for
	claimed    time.Time // when it last looked for what others left behind
}

// readLoop answers requests for messages until the source is stopped.
func (s *source) readLoop() {
	defer close(s.read)
	defer s.disconnect()
	for {
		select {
		case n := <-s.want:
			var b batch
			for len(b.deliveries) == 0 && b.err == nil && s.life.Err() == nil {
				b.deliveries, b.err = s.fetch(n)
			}
			s.got <- b
		case <-s.life.Done():
			return
		}
	}
}

// disconnect gives the connection back.
func (s *source) disconnect() {
	if r := &s.reading; r.client != nil {
		r.connection.Store(0)
		r.release()
		r.client, r.release = nil, nil
	}
}

// fetch returns messages, or none after a while.
func (s *source) fetch(n int) ([]*delivery, error) {
	if err := s.link.await(s.life); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.link.ended, claimInterval+silence)
	defer cancel()
	s.connect(ctx)
	deliveries, err := s.fetchFirst(ctx, n)
	if err == nil || rueidis.IsRedisNil(err) {
		return deliveries, nil
	}
	s.link.doubt(err)
	s.disconnect()
	s.reading.history = true
	switch answer, answered := rueidis.IsRedisErr(err); {
	case isNoGroup(err):
		return nil, s.createGroup(ctx, s.stream, s.group, "0")
	case answered && (strings.HasPrefix(answer.Error(), "UNBLOCKED") || isNotNow(answer)), unreachable(err):
		return nil, s.link.pause(s.life, lowestPause)
	}
	return nil, err
}

// connect makes sure that there is a connection.
func (s *source) connect(ctx context.Context) {
	r := &s.reading
	if r.client != nil {
		return
	}
	r.client, r.release = s.client.Dedicate()
	id, err := r.client.Do(ctx, r.client.B().ClientId().Build()).AsInt64()
	if err == nil { // otherwise Stop waits for a read to end by itself
		r.connection.Store(id)
	}
	r.claimed = time.Time{}
}

// fetchFirst looks where messages are that come before others.
func (s *source) fetchFirst(ctx context.Context, n int) ([]*delivery, error) {
	r := &s.reading
	if r.history {
		missed, err := s.fetchHistory(ctx)
		if err != nil || len(missed) > 0 {
			return missed, err
		}
		r.history = false
	}
	if time.Since(r.claimed) >= claimInterval {
		claimed, err := s.claim(ctx, n)
		if err != nil || len(claimed) > 0 {
			return claimed, err
		}
		r.claimed = time.Now()
	}
	c := r.client
	entries, err := c.Do(ctx, c.B().Xreadgroup().Group(s.group, s.consumer).Count(int64(n)).
		Block(claimInterval.Milliseconds()).Streams().Key(s.stream).Id(">").Build()).AsXReadSlices()
	return s.add(entries[s.stream]), err
}

// fetchHistory returns what is this consumer's and has never arrived here.
func (s *source) fetchHistory(ctx context.Context) ([]*delivery, error) {
	c := s.reading.client
	var missed []*delivery
	for from := "0"; ; {
		entries, err := c.Do(ctx, c.B().Xreadgroup().Group(s.group, s.consumer).Count(historyPage).
			Streams().Key(s.stream).Id(from).Build()).AsXReadSlices()
		page := entries[s.stream]
		missed = append(missed, s.add(page)...)
		if err != nil || len(page) < historyPage {
			return missed, err
		}
		from = page[len(page)-1].ID
	}
}

// claim takes over what others have given back or left behind, oldest first.
func (s *source) claim(ctx context.Context, n int) ([]*delivery, error) {
	c := s.reading.client
	var claimed []*delivery
	for from := "0-0"; len(claimed) < n; {
		answer, err := c.Do(ctx, c.B().Xautoclaim().Key(s.stream).Group(s.group).Consumer(s.consumer).
			MinIdleTime(milliseconds(s.config.ackWait)).Start(from).Count(int64(n-len(claimed))).Build()).ToArray()
		if err != nil {
			return claimed, err
		}
		if from, err = answer[0].ToString(); err != nil {
			return claimed, err
		}
		entries, err := answer[1].AsXRangeSlices()
		if err != nil {
			return claimed, err
		}
		if len(answer) > 2 { // since Redis 7: what was trimmed
			trimmed, err := answer[2].AsStrSlice()
			if err != nil {
				return claimed, err
			}
			for _, id := range trimmed {
				entries = append(entries, rueidis.XRangeSlice{ID: id})
			}
		}
		claimed = append(claimed, s.add(entries)...)
		if from == "0-0" {
			break
		}
	}
	return claimed, s.count(ctx, claimed)
}

// count asks how often messages were delivered.
func (s *source) count(ctx context.Context, claimed []*delivery) error {
	c := s.reading.client
	commands := make(rueidis.Commands, 0, len(claimed))
	for _, d := range claimed {
		commands = append(commands, c.B().Xpending().Key(s.stream).Group(s.group).Start(d.id).End(d.id).Count(1).Build())
	}
	for i, result := range c.DoMulti(ctx, commands...) {
		rows, err := result.ToArray()
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			continue // trimmed meanwhile
		}
		row, err := rows[0].ToArray()
		if err != nil || len(row) < 4 {
			return err
		}
		n, err := row[3].AsInt64()
		if err != nil {
			return err
		}
		claimed[i].count = int(n)
	}
	return nil
}

// add notes entries as this consumer's, but for those that are already.
func (s *source) add(entries []rueidis.XRangeSlice) []*delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := make([]*delivery, 0, len(entries))
	for i := range entries {
		e := &entries[i]
		if s.mine[e.ID] != nil {
			continue
		}
		d := newDelivery(e)
		d.count = 1
		s.mine[e.ID] = d
		added = append(added, d)
	}
	return added
}
