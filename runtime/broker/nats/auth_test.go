package natsbroker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/micro-event/micro-event/runtime/broker"
	natsbroker "github.com/micro-event/micro-event/runtime/broker/nats"
)

func withoutJetStream(o *server.Options) { o.JetStream = false }

// withUser puts user and password into a URL.
func withUser(url, user string) string { return strings.Replace(url, "://", "://"+user+"@", 1) }

func TestAuthentication(t *testing.T) {
	user, err := nkeys.CreateUser()
	must(t, err)
	seed, err := user.Seed()
	must(t, err)
	public, err := user.PublicKey()
	must(t, err)
	seedFile := filepath.Join(t.TempDir(), "user.nk")
	must(t, os.WriteFile(seedFile, seed, 0o600))
	other, err := nkeys.CreateUser()
	must(t, err)
	otherSeed, err := other.Seed()
	must(t, err)
	otherFile := filepath.Join(t.TempDir(), "other.nk")
	must(t, os.WriteFile(otherFile, otherSeed, 0o600))
	op := operatorMode(t)

	for name, c := range map[string]struct {
		server       func(*server.Options)
		user         string // in the URL
		right, wrong []broker.Option
		wrongUser    string
	}{
		"user and password": {
			server: func(o *server.Options) { o.Username, o.Password = "alice", "s3cret" },
			user:   "alice:s3cret", wrongUser: "alice:gu3ss",
		},
		"token in the URL": {
			server: func(o *server.Options) { o.Authorization = "s3cret" },
			user:   "s3cret", wrongUser: "gu3ss",
		},
		"token": {
			server: func(o *server.Options) { o.Authorization = "s3cret" },
			right:  []broker.Option{natsbroker.Token("s3cret")}, wrong: []broker.Option{natsbroker.Token("gu3ss")},
		},
		"nkey": {
			server: func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} },
			right:  []broker.Option{natsbroker.NKeyFile(seedFile)}, wrong: []broker.Option{natsbroker.NKeyFile(otherFile)},
		},
		"credentials": {
			server: op.configure,
			right:  []broker.Option{natsbroker.CredentialsFile(op.creds)}, wrong: []broker.Option{natsbroker.CredentialsFile(op.stranger)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, withoutJetStream, c.server)
			url := s.url()
			right, wrong := url, url
			if c.user != "" {
				right, wrong = withUser(url, c.user), withUser(url, c.wrongUser)
			}
			core := natsbroker.Core()
			b := connect(t, right, append(c.right, core)...)
			must(t, b.Health(t.Context()))
			if got := b.Address(); got != url {
				t.Errorf("Address: got %q, want %q", got, url)
			}
			err := natsbroker.New(wrong, append(c.wrong, core)...).Connect(t.Context())
			if !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("connect with wrong credentials: got %v, want ErrAuthorization", err)
			}
			if strings.Contains(err.Error(), "gu3ss") {
				t.Errorf("the error shows the password: %v", err)
			}
			err = natsbroker.New(url, core).Connect(t.Context())
			if !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("connect without credentials: got %v, want ErrAuthorization", err)
			}
		})
	}
}

// operator is a server in operator mode with one account and one user, and a
// user that it does not know.
type operator struct {
	configure       func(*server.Options)
	creds, stranger string // files
}

func operatorMode(t *testing.T) operator {
	t.Helper()
	op, err := nkeys.CreateOperator()
	must(t, err)
	account, err := nkeys.CreateAccount()
	must(t, err)
	stranger, err := nkeys.CreateAccount()
	must(t, err)
	opKey, err := op.PublicKey()
	must(t, err)
	accountKey, err := account.PublicKey()
	must(t, err)
	accountJWT, err := jwt.NewAccountClaims(accountKey).Encode(op)
	must(t, err)
	configure := func(o *server.Options) {
		resolver := &server.MemAccResolver{}
		must(t, resolver.Store(accountKey, accountJWT))
		o.TrustedKeys, o.AccountResolver = []string{opKey}, resolver
	}
	return operator{configure, credsFile(t, account), credsFile(t, stranger)}
}

func credsFile(t *testing.T, account nkeys.KeyPair) string {
	t.Helper()
	user, err := nkeys.CreateUser()
	must(t, err)
	public, err := user.PublicKey()
	must(t, err)
	seed, err := user.Seed()
	must(t, err)
	token, err := jwt.NewUserClaims(public).Encode(account)
	must(t, err)
	content, err := jwt.FormatUserConfig(token, seed)
	must(t, err)
	path := filepath.Join(t.TempDir(), "user.creds")
	must(t, os.WriteFile(path, content, 0o600))
	return path
}

func TestTLS(t *testing.T) {
	certificate, roots := selfSigned(t)
	s := startServer(t, withoutJetStream, func(o *server.Options) {
		o.TLS = true
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}}
	})
	trusting := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}
	must(t, connect(t, s.url(), natsbroker.Core(), natsbroker.TLS(trusting)).Health(t.Context()))
	err := natsbroker.New(s.url(), natsbroker.Core()).Connect(t.Context())
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("connect without its root: got %v, want an UnknownAuthorityError", err)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func TestAddressHasNoCredentials(t *testing.T) {
	for url, want := range map[string]string{
		"nats://u:p@a:4222,nats://token@b:4222": "nats://a:4222,nats://b:4222",
		"localhost:4222":                        "nats://localhost:4222",
		"tls://u:p@a:4222":                      "tls://a:4222",
		"nats://u:%zz@a":                        "nats://invalid",
		"http://u:p@a":                          "nats://invalid",
		"":                                      "nats://invalid",
	} {
		b := natsbroker.New(url)
		if got := b.Address(); got != want {
			t.Errorf("Address of %q: got %q, want %q", url, got, want)
		}
		if want != "nats://invalid" {
			continue
		}
		if err := b.Connect(t.Context()); err == nil || strings.Contains(err.Error(), "u:") {
			t.Errorf("connect to %q: got %v, want an error that does not show it", url, err)
		}
	}
}
