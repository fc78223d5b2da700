package httpbroker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
)

// certificateAge is how old the knowledge about the files of certificates may be.
const certificateAge = time.Second

// TLSFiles encrypts and makes both sides prove who they are: each shows the
// certificate in the file certificate, whose private key is in key, and trusts
// those that the authorities in the file authorities issued, all in PEM. A member is
// known by the host of its address, which its certificate must name.
//
// The files are read again within a second after they changed, so that
// certificates, and authorities, can be renewed while the broker runs: connections
// that stand are checked against the new authorities with their next request. Files
// that cannot be read, as while they are being written, change nothing and are
// logged.
func TLSFiles(certificate, key, authorities string) broker.Option {
	return newOption(func(o *options) error {
		files := &certificateFiles{paths: [3]string{certificate, key, authorities}, age: certificateAge, log: o.logger}
		o.transport = files
		return files.load()
	})
}

// certificateFiles is a transport whose certificates lie in files.
type certificateFiles struct {
	paths   [3]string // certificate, key, authorities
	age     time.Duration
	log     func() *slog.Logger
	current atomic.Pointer[certificates]
	checked atomic.Int64 // when the files were looked at, in ns

	mu      sync.Mutex
	changes [3]fileChange // that current has
	warned  [3]fileChange // that could not be read
}

// certificates are what the files held.
type certificates struct {
	own         tls.Certificate
	authorities *x509.CertPool
	generation  int64
}

// fileChange tells one state of a file from another.
type fileChange struct {
	at   time.Time
	size int64
}

// get returns what the files hold, or held when they could last be read.
func (f *certificateFiles) get() *certificates {
	if now := time.Now().UnixNano(); now-f.checked.Load() > int64(f.age) {
		f.checked.Store(now)
		if err := f.load(); err != nil {
			f.log().Warn("httpbroker: certificates not read again; the old ones stay", slog.Any("error", err))
		}
	}
	return f.current.Load()
}

// load reads the files if they have changed. It returns an error once for each
// state that cannot be read.
func (f *certificateFiles) load() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.current.Load()
	changes, err := f.stat()
	if err == nil && (old != nil && changes == f.changes || changes == f.warned) {
		return nil
	}
	var next *certificates
	if err == nil {
		next, err = f.read(old)
	}
	if err != nil {
		f.warned = changes
		return fmt.Errorf("TLSFiles: %w", err)
	}
	f.changes = changes
	f.current.Store(next)
	return nil
}

func (f *certificateFiles) stat() ([3]fileChange, error) {
	var changes [3]fileChange
	for i, path := range f.paths {
		info, err := os.Stat(path)
		if err != nil {
			return changes, err
		}
		changes[i] = fileChange{info.ModTime(), info.Size()}
	}
	return changes, nil
}

func (f *certificateFiles) read(old *certificates) (*certificates, error) {
	own, err := tls.LoadX509KeyPair(f.paths[0], f.paths[1])
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(f.paths[2]) //nolint:gosec // the path is an option
	if err != nil {
		return nil, err
	}
	c := &certificates{own: own, authorities: x509.NewCertPool()}
	if !c.authorities.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: there is no certificate in it", f.paths[2])
	}
	if old != nil {
		c.generation = old.generation + 1
	}
	return c, nil
}

func (f *certificateFiles) config() *tls.Config {
	c := f.get()
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"http/1.1"},
		Certificates:           []tls.Certificate{c.own},
		RootCAs:                c.authorities,
		ClientCAs:              c.authorities,
		ClientAuth:             tls.RequireAndVerifyClientCert,
		SessionTicketsDisabled: true, // a session would outlive the authority
	}
}

func (f *certificateFiles) server() *tls.Config {
	c := f.config()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.config(), nil }
	return c
}

func (f *certificateFiles) client(host string) (*tls.Config, error) {
	if host == "" {
		return nil, errors.New("the address of the member has no host")
	}
	return withServerName(f.config(), host), nil
}

func (f *certificateFiles) wantsClients() bool { return true }
func (f *certificateFiles) generation() int64  { return f.get().generation }

func (f *certificateFiles) verify(c *x509.Certificate, intermediates []*x509.Certificate) error {
	pool := x509.NewCertPool()
	for _, i := range intermediates {
		pool.AddCert(i)
	}
	_, err := c.Verify(x509.VerifyOptions{
		Roots: f.get().authorities, Intermediates: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}
