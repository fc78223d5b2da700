package rabbitmqbroker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	rabbitmqbroker "github.com/micro-event/micro-event/runtime/broker/rabbitmq"
)

// authority is a certificate authority of its own.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{key, certificate}
}

// server returns the configuration of a server at 127.0.0.1.
func (a *authority) server(t testing.TB) *tls.Config {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, a.key.Public(), a.key)
	must(t, err)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}, MinVersion: tls.VersionTLS13,
	}
}

// client returns the configuration of a client that trusts nobody else.
func (a *authority) client() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}
}

func TestTLS(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	for _, test := range []struct {
		name, scheme string
		server       *tls.Config
		client       *tls.Config // nil is without the option
		want         []string    // in the error
	}{
		{"by the URL", "amqps", ours.server(t), ours.client(), nil},
		{"by the option", "amqp", ours.server(t), ours.client(), nil},
		{"by the option, in capitals", "AMQP", ours.server(t), ours.client(), nil},
		{"another authority", "amqps", ours.server(t), others.client(), []string{"unknown authority", "RootCAs", "option TLS"}},
		{"no authority", "amqps", ours.server(t), nil, []string{"unknown authority", "RootCAs", "option TLS"}},
		{
			"another name", "amqps", ours.server(t),
			&tls.Config{RootCAs: ours.client().RootCAs, ServerName: "rabbit", MinVersion: tls.VersionTLS13},
			[]string{"match rabbit", "ServerName", "option TLS"},
		},
		{"a server without", "amqp", nil, ours.client(), []string{"speaks no TLS", "5671"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFake(t, test.server)
			var opts []broker.Option
			var name string
			if test.client != nil {
				opts = append(opts, rabbitmqbroker.TLS(test.client))
				name = test.client.ServerName
			}
			b := quiet(test.scheme+"://user:secret@"+f.address(), opts...)
			err := b.Connect(soon(t))
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
					t.Errorf("connect: got %v, want %q and no password", err, want)
				}
			}
			if test.client != nil && test.client.ServerName != name {
				t.Errorf("the caller's configuration: ServerName is %q now", test.client.ServerName)
			}
			if test.want != nil {
				return
			}
			must(t, err)
			must(t, b.Publish(soon(t), "topic", &broker.Message{}))
			if want := "amqps://" + f.address(); b.Address() != want {
				t.Errorf("address: got %s, want %s", b.Address(), want)
			}
			must(t, b.Disconnect(soon(t)))
		})
	}
}
