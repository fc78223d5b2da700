package httpbroker

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/micro-event/micro-event/runtime/broker"
)

// Peer is who is at the other end, as far as that was proven.
type Peer struct {
	// Name is what the verifier of [BearerFunc] returned, or else comes from the
	// certificate: its first URI, DNS name or IP address, or its common name. It is
	// empty when neither was asked for.
	Name string

	// Certificate was verified. It is nil without TLS, for a publisher when none is
	// required of it, and for a member where the configuration of [TLS] does not verify.
	Certificate *x509.Certificate
}

// Action is what a peer wants to do.
type Action string

// The actions.
const (
	// ActionPublish is that of a publisher, asked by the member that got its
	// message.
	ActionPublish Action = "publish"

	// ActionSubscribe is that of a member, asked by the publisher before it sends
	// messages on a new connection: what a registry says of a member is a hint.
	ActionSubscribe Action = "subscribe"
)

// Access is what an authorisation is asked for.
type Access struct {
	Peer   Peer
	Action Action
	Topic  string
	Queue  string // empty for subscriptions without a queue, and for [Ingress]
}

// Authorize sets who may publish to a topic and who may subscribe to it. An error of
// f refuses; its text stays here, in the log. F is called for each request, and for
// each new connection to a member; it may be called concurrently and should not
// block. Default: everybody who passed authentication may do everything.
func Authorize(f func(ctx context.Context, a Access) error) broker.Option {
	return newOption(func(o *options) error {
		if f == nil {
			return errors.New("Authorize: the function is nil")
		}
		o.authorize = f
		return nil
	})
}

// AllowPlaintext lets a broker that other machines can reach do without [TLS]:
// whoever is on the way reads and changes messages. Default: that is an error of
// Connect.
func AllowPlaintext() broker.Option {
	return newOption(func(o *options) error {
		o.allowPlaintext = true
		return nil
	})
}

// AllowAnonymous lets a broker that other machines can reach take messages from
// anybody. Default: that is an error of Connect, unless publishers need a
// certificate, a token or a signature.
func AllowAnonymous() broker.Option {
	return newOption(func(o *options) error {
		o.allowAnonymous = true
		return nil
	})
}

// authenticates reports whether publishers have to prove anything.
func (o *options) authenticates() bool {
	return o.bearer != nil || o.signer != nil || o.transport != nil && o.transport.wantsClients()
}

// checkReach refuses to be reached by other machines without protection, unless
// each was waived by name.
func (o *options) checkReach(address string) error {
	if o.transport == nil && !o.allowPlaintext {
		return fmt.Errorf("%q can be reached from other machines, and without TLS whoever is on the way reads and changes messages; use TLS or TLSFiles, or AllowPlaintext to do without", address)
	}
	if !o.authenticates() && !o.allowAnonymous {
		return fmt.Errorf("%q can be reached from other machines, where anybody may publish; use TLSFiles, Bearer or HMAC, or AllowAnonymous to let everybody in", address)
	}
	return nil
}

// may asks the authorisation.
func (o *options) may(ctx context.Context, a Access) error {
	if o.authorize == nil {
		return nil
	}
	return o.authorize(ctx, a)
}

// peerWith returns the peer of a certificate, nil for none.
func peerWith(c *x509.Certificate) Peer {
	if c == nil {
		return Peer{}
	}
	return Peer{Name: nameOf(c), Certificate: c}
}

// nameOf returns the name of a certificate's owner.
func nameOf(c *x509.Certificate) string {
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return c.Subject.CommonName
}
