package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/twmb/franz-go/pkg/kfake"
)

// TestTheSameProgramOnEachBroker runs it on servers in this process.
func TestTheSameProgramOnEachBroker(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // where http:// looks for others
	nats := natsServer(t)
	for _, address := range []string{
		"memory://", "http://", "http://127.0.0.1:0", nats, "nats-core" + strings.TrimPrefix(nats, "nats"), kafkaServer(t),
		"redis://" + miniredis.RunT(t).Addr(),
	} {
		t.Run(address, func(t *testing.T) { publishAndHandle(t, address) })
	}
}

// TestTheSameProgramOnARealServer runs it where scripts/services has started one.
func TestTheSameProgramOnARealServer(t *testing.T) {
	ran := false
	for _, variable := range []string{
		"MICRO_EVENT_NATS", "MICRO_EVENT_KAFKA", "MICRO_EVENT_MQTT", "MICRO_EVENT_RABBITMQ", "MICRO_EVENT_REDIS",
	} {
		if address := os.Getenv(variable); address != "" {
			ran = true
			t.Run(variable, func(t *testing.T) { publishAndHandle(t, address) })
		}
	}
	if !ran {
		t.Skip("needs a real server: set what `scripts/services up` prints")
	}
}

// publishAndHandle plays both sides.
func publishAndHandle(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out buffer
	if err := run(ctx, &out, address, "both", 3); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Count(text, "published o-") != 3 || strings.Count(text, "handled   o-") != 3 ||
		strings.Count(text, ", key o-") != 3 || strings.Count(text, "tenant acme") != 3 {
		t.Errorf("got\n%s\nwant three orders published and handled with key and tenant", text)
	}
}

// TestTwoProcesses has a publisher and a subscriber that share a URL only.
func TestTwoProcesses(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	var out, unread buffer
	ended := make(chan error, 1)
	handled := make(chan struct{}, 1)
	out.wrote = func(text string) {
		if strings.Count(text, "handled") == 2 {
			handled <- struct{}{}
		}
	}
	go func() { ended <- run(ctx, &out, "http://", "subscribe", 0) }()
	for run(ctx, &unread, "http://", "publish", 2) != nil { // nobody subscribes yet
	}
	<-handled
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestBadArguments(t *testing.T) {
	for _, test := range []struct{ address, role, want string }{
		{"smtp://user:secret@host", "both", `broker "smtp://user:xxxxx@host": unknown scheme`},
		{"nats://host:port:port", "both", "broker: parse"},
		{"memory://", "watch", `role "watch": want publish, subscribe or both`},
	} {
		err := run(t.Context(), &buffer{}, test.address, test.role, 1)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s as %s: got %v, want %q", test.address, test.role, err, test.want)
		}
	}
}

func natsServer(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("nats-server does not start")
	}
	return s.ClientURL()
}

func kafkaServer(t *testing.T) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DefaultNumPartitions(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return "kafka://" + c.ListenAddrs()[0]
}

// buffer is a bytes.Buffer that several goroutines may use.
type buffer struct {
	mu    sync.Mutex
	b     bytes.Buffer
	wrote func(all string) // called after each write
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.b.Write(p)
	if b.wrote != nil {
		b.wrote(b.b.String())
	}
	return n, err
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
