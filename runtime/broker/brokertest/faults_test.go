package brokertest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	"github.com/micro-event/micro-event/runtime/broker/brokertest"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// TestMain lets the processes that RunFaults starts be members of a queue.
func TestMain(m *testing.M) {
	brokertest.ServeMember(openHTTP)
	os.Exit(m.Run())
}

// openHTTP makes a broker of those that find each other by the host of the URL.
func openHTTP(address string, opts ...broker.Option) broker.Broker {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	registry, err := httpbroker.NewDirectoryRegistry(u.Host)
	if err != nil {
		panic(err)
	}
	return httpbroker.New(append(opts, httpbroker.WithRegistry(registry))...)
}

// TestRunFaults runs on a transport without a server: a member can be killed.
func TestRunFaults(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // where the registry lies
	brokertest.RunFaults(t, brokertest.Faults{
		URL: "http://faults", Open: openHTTP, NoProxy: "there is no server",
	})
}

// TestProxy cuts a connection and keeps others out for a while.
func TestProxy(t *testing.T) {
	p := brokertest.StartProxy(t, echoServer(t))
	c := dial(t, p.Address())
	say(t, c, true)
	p.Cut()
	say(t, c, false)
	restore := p.Interrupt(t)
	say(t, dial(t, p.Address()), false)
	restore()
	say(t, dial(t, p.Address()), true)
}

// echoServer returns the address of a server that sends back what it gets.
func echoServer(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, copied := io.Copy(c, c)
				if err := errors.Join(copied, c.Close()); err != nil {
					t.Log(err)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// say sends a byte and reports whether it came back as wanted.
func say(t *testing.T, c net.Conn, want bool) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Write([]byte{1})
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if (err == nil) != want || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("answered: got %v, want %v (%v)", err == nil, want, err)
	}
}
