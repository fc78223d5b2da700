//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

const partitionTime = 5 * time.Second

// partition cuts the network between publisher and subscriber: between two
// network namespaces as root, else by a proxy that stalls.
func partition(ctx context.Context, l *lab, _ time.Duration) *verdict {
	if os.Getuid() == 0 {
		if n, err := newNetwork(ctx, l); err == nil {
			return l.partitioned(ctx, "network namespaces", n.before, []string{"-insecure-listen", n.inside + ":7000"}, n.cut)
		}
	}
	port, err := freePort(ctx)
	if err != nil {
		return failure(err)
	}
	p, err := newProxy(ctx, port, 0)
	if err != nil {
		return failure(err)
	}
	l.closers = append(l.closers, p.close)
	cut := func(on bool) error {
		p.stall(on)
		return nil
	}
	return l.partitioned(ctx, "a stalling proxy", nil, []string{"-listen", port, "-behind", p.address()}, cut)
}

func (l *lab) partitioned(ctx context.Context, how string, before, flags []string, cut func(bool) error) *verdict {
	sub, err := l.startIn(ctx, before, "sub", append([]string{"-subscribe", topic, "-queue", "q", "-in-flight", "8"}, flags...)...)
	if err != nil {
		return failure(err)
	}
	if err := l.awaitReady(ctx, sub, 0); err != nil {
		return failure(err)
	}
	pub, err := l.publisher(ctx, "pub", "-rate", "200", "-callers", "32", "-keys", "32")
	if err != nil {
		return failure(err)
	}
	pause(ctx, 2*time.Second)
	if err := cut(true); err != nil {
		return failure(err)
	}
	pause(ctx, partitionTime)
	if err := cut(false); err != nil {
		return failure(err)
	}
	healed := time.Now()
	pause(ctx, 5*time.Second)
	t, err := l.settle([]*process{pub}, []*process{sub})
	if err != nil {
		return failure(err)
	}
	v := new(verdict)
	v.note("by %s", how)
	v.check(t, "q")
	v.noErrors(t)
	back := time.Duration(1<<63 - 1)
	for _, at := range t.okAt {
		if since := time.Duration(at - healed.UnixNano()); since > 0 {
			back = min(back, since)
		}
	}
	v.note("%d duplicates", t.duplicated("q"))
	v.within("back after", back, 3*time.Second)
	return v
}

// network is a network namespace with a cable to it.
type network struct {
	name, outside, inside string
	before                []string // words that run a command in it
}

func newNetwork(ctx context.Context, l *lab) (*network, error) {
	id := os.Getpid() % 10000
	n := &network{name: fmt.Sprint("soak", id), outside: fmt.Sprint("soak", id, "a"), inside: "198.18.77.2"}
	peer := fmt.Sprint("soak", id, "b")
	n.before = []string{"ip", "netns", "exec", n.name}
	if err := ip(ctx, "netns", "add", n.name); err != nil {
		return nil, err
	}
	l.closers = append(l.closers, func() error { return ip(context.WithoutCancel(ctx), "netns", "delete", n.name) })
	for _, words := range []string{
		"link add " + n.outside + " type veth peer name " + peer + " netns " + n.name,
		"address add 198.18.77.1/30 dev " + n.outside,
		"link set " + n.outside + " up",
		"-n " + n.name + " address add " + n.inside + "/30 dev " + peer,
		"-n " + n.name + " link set " + peer + " up",
		"-n " + n.name + " link set lo up",
	} {
		if err := ip(ctx, strings.Fields(words)...); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// cut pulls the cable out at the other end, or puts it in again.
func (n *network) cut(on bool) error {
	state := "up"
	if on {
		state = "down"
	}
	peer := strings.TrimSuffix(n.outside, "a") + "b"
	return ip(context.Background(), "-n", n.name, "link", "set", peer, state)
}

func ip(ctx context.Context, words ...string) error {
	text, err := exec.CommandContext(ctx, "ip", words...).CombinedOutput() //nolint:gosec // the words are ours
	if err != nil {
		return errors.Join(fmt.Errorf("ip %s: %w", strings.Join(words, " "), err), errors.New(strings.TrimSpace(string(text))))
	}
	return nil
}
