package httpbroker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// handshakeTimeout bounds the handshake of a connection to a member.
const handshakeTimeout = 3 * time.Second

// transport encrypts connections.
type transport interface {
	// server is the configuration of the listener, client that for a member at
	// host.
	server() *tls.Config
	client(host string) (*tls.Config, error)

	// wantsClients reports whether publishers need a certificate.
	wantsClients() bool

	// generation changes with the certificates; verify tells whether the authorities
	// still vouch for one that was accepted under an older one.
	generation() int64
	verify(c *x509.Certificate, intermediates []*x509.Certificate) error
}

// TLS encrypts with a configuration for both sides: Certificates are shown to
// publishers and to members, RootCAs says which members to trust, ClientCAs and
// ClientAuth which publishers. With tls.RequireAndVerifyClientCert that is mutual
// TLS. Members are known by the host of their address, or by ServerName if that is
// set. The lowest version is 1.3 unless MinVersion says otherwise. C must not
// change any more. For certificates that are renewed see [TLSFiles].
func TLS(c *tls.Config) broker.Option {
	return newOption(func(o *options) error {
		if c == nil {
			return errors.New("TLS: the configuration is nil")
		}
		c := c.Clone()
		if c.MinVersion == 0 {
			c.MinVersion = tls.VersionTLS13
		}
		c.NextProtos = []string{"http/1.1"}
		o.transport = &fixedTransport{c}
		return nil
	})
}

// fixedTransport is a transport that the user made.
type fixedTransport struct{ config *tls.Config }

func (t *fixedTransport) server() *tls.Config { return t.config }

func (t *fixedTransport) client(host string) (*tls.Config, error) {
	return withServerName(t.config, host), nil
}

func (t *fixedTransport) wantsClients() bool {
	return t.config.ClientAuth == tls.RequireAndVerifyClientCert
}

func (t *fixedTransport) generation() int64                                   { return 0 }
func (t *fixedTransport) verify(*x509.Certificate, []*x509.Certificate) error { return nil }

// withServerName returns c for a connection to host.
func withServerName(c *tls.Config, host string) *tls.Config {
	if c.ServerName != "" {
		return c
	}
	c = c.Clone()
	c.ServerName = host
	return c
}

// encrypt makes the handshake on a connection to a member.
func (p *publisher) encrypt(ctx context.Context, c net.Conn, address string) (net.Conn, Peer, error) {
	if p.options.transport == nil {
		return c, Peer{}, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, Peer{}, err
	}
	config, err := p.options.transport.client(host)
	if err != nil {
		return nil, Peer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	encrypted := tls.Client(c, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return nil, Peer{}, err
	}
	state := encrypted.ConnectionState()
	if len(state.VerifiedChains) == 0 { // the configuration does without
		return encrypted, Peer{}, nil
	}
	leaf := state.PeerCertificates[0]
	return encrypted, peerWith(leaf), nil
}

// generationKey is the key under which a connection's context has the generation
// under which it was accepted.
type generationKey struct{}

// connContext notes on a connection under which generation it was accepted.
func (s *server) connContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, generationKey{}, s.options().transport.generation())
}

// checkCertificate returns the certificate of a publisher. One that was verified
// by authorities that have changed since is verified again, and its connection
// ends after the answer.
func (s *server) checkCertificate(w http.ResponseWriter, r *http.Request) (*x509.Certificate, error) {
	t := s.options().transport
	if t == nil || !t.wantsClients() {
		return nil, nil //nolint:nilnil // a certificate is not wanted
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, errNoCredentials // mounted in a server that does not ask for it
	}
	leaf := r.TLS.PeerCertificates[0]
	accepted, known := r.Context().Value(generationKey{}).(int64)
	switch {
	case !known && len(r.TLS.VerifiedChains) == 0:
		return nil, errCredentials // as above
	case known && accepted != t.generation():
		w.Header().Set("Connection", "close")
		if err := t.verify(leaf, r.TLS.PeerCertificates[1:]); err != nil {
			return nil, errors.Join(errCredentials, err)
		}
	}
	return leaf, nil
}
