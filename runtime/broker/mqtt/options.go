package mqttbroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/eclipse/paho.golang/paho"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Defaults of the options.
const (
	DefaultSessionExpiry  = time.Hour
	DefaultReceiveMaximum = 4096
	DefaultPublishWindow  = 1024
)

// maxClientID leaves room in what servers take, such as 128 bytes, for what is made
// of it.
const maxClientID = 90

// config is what the options come to.
type config struct {
	clientID      string
	sessionExpiry time.Duration
	receive       int
	window        int
	tls           *tls.Config
	change        []func(*paho.Connect)
}

func defaultConfig() config {
	return config{sessionExpiry: DefaultSessionExpiry, receive: DefaultReceiveMaximum, window: DefaultPublishWindow}
}

func (c *config) validate() error {
	var errs []error
	if len(c.clientID) > maxClientID || !utf8.ValidString(c.clientID) {
		errs = append(errs, fmt.Errorf("option ClientID: got %.100q, want at most %d bytes of UTF-8", c.clientID, maxClientID))
	}
	if c.sessionExpiry < time.Second || c.sessionExpiry/time.Second >= math.MaxUint32 {
		errs = append(errs, fmt.Errorf("option SessionExpiry: got %v, want at least 1s and less than 136 years", c.sessionExpiry))
	}
	if c.receive < 1 || c.receive > math.MaxUint16 {
		errs = append(errs, fmt.Errorf("option ReceiveMaximum: got %d, want 1 to %d", c.receive, math.MaxUint16))
	}
	if c.window < 1 {
		errs = append(errs, fmt.Errorf("option PublishWindow: got %d, want at least 1", c.window))
	}
	return errors.Join(errs...)
}

// setting is an option as the driver gets it.
type setting func(*config)

func option(set setting) broker.Option { return broker.DriverOption(set) }

// ClientID is what the sessions of this process are found by when it comes back. It
// must be stable across its restarts, and no other process may have it: the server
// cuts off one of two clients with the same id. At most 90 bytes. Default: none, and
// so no promise beyond the life of the process; see the package documentation.
func ClientID(id string) broker.Option { return option(func(c *config) { c.clientID = id }) }

// SessionExpiry is how long the server keeps a session whose connection is gone, in
// whole seconds. At least 1 s; some servers have a maximum of their own. Default
// [DefaultSessionExpiry].
func SessionExpiry(d time.Duration) broker.Option {
	return option(func(c *config) { c.sessionExpiry = d })
}

// ReceiveMaximum is how many messages a subscription may have that are not
// acknowledged, those included that were handled behind one that is retried. Default
// [DefaultReceiveMaximum]; the server may have a lower limit.
func ReceiveMaximum(n int) broker.Option { return option(func(c *config) { c.receive = n }) }

// PublishWindow is how many messages may wait for the server's acknowledgement;
// Publish waits for room. Default [DefaultPublishWindow]; the server may have a lower
// limit.
func PublishWindow(n int) broker.Option { return option(func(c *config) { c.window = n }) }

// TLS connects by TLS with t, also where the URL does not say so. Default: TLS with
// the system's roots for mqtts:// URLs, none for mqtt:// ones.
func TLS(t *tls.Config) broker.Option { return option(func(c *config) { c.tls = t }) }

// ConnectPacket changes the CONNECT packet of each connection, such as its credentials
// when they change over time. What delivery rests on (client id, clean start, session
// expiry, receive maximum) is set by this package afterwards.
func ConnectPacket(change func(*paho.Connect)) broker.Option {
	return option(func(c *config) { c.change = append(c.change, change) })
}
