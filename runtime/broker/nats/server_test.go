package natsbroker_test

import (
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// testServer is a real server inside the test process, which can be stopped and
// started again with what it has stored.
type testServer struct {
	options server.Options
	running *server.Server
}

// startServer starts a server on a free port, changed by the given functions.
func startServer(t testing.TB, change ...func(*server.Options)) *testServer {
	t.Helper()
	s := &testServer{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: t.TempDir(),
	}}
	for _, c := range change {
		c(&s.options)
	}
	s.start(t)
	s.options.Port = s.running.Addr().(*net.TCPAddr).Port
	t.Cleanup(s.stop)
	return s
}

func (s *testServer) start(t testing.TB) {
	t.Helper()
	options := s.options
	running, err := server.NewServer(&options)
	if err != nil {
		t.Fatal(err)
	}
	running.Start()
	if !running.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready after 10 s")
	}
	s.running = running
}

func (s *testServer) stop() {
	s.running.Shutdown()
	s.running.WaitForShutdown()
}

// interrupt is the brokertest feature: it stops the server.
func (s *testServer) interrupt(t testing.TB) (restore func()) {
	s.stop()
	return func() { s.start(t) }
}

func (s *testServer) url() string { return s.running.ClientURL() }
