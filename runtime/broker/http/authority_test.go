package httpbroker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(tb testing.TB, name string) *authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue returns certificate and key of a service on this machine, in PEM.
func (a *authority) issue(tb testing.TB, name string) (certificate, key []byte) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &private.PublicKey, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
}

// files are those of one service: certificate, key and authorities.
type files [3]string

func newFiles(tb testing.TB) files {
	tb.Helper()
	dir := tb.TempDir()
	return files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")}
}

// options are those of a service that looks at its files each time.
func (f files) options() []broker.Option {
	return []broker.Option{httpbroker.TLSFiles(f[0], f[1], f[2]), httpbroker.LookEachTime()}
}

// write writes a certificate that issuer has issued and the authorities to trust.
// Each write has a time of its own, as with hours between them.
func (f files) write(tb testing.TB, issuer *authority, name string, at time.Time, trusted ...*authority) {
	tb.Helper()
	certificate, key := issuer.issue(tb, name)
	var all []byte
	for _, a := range trusted {
		all = append(all, a.pem...)
	}
	for i, text := range [][]byte{certificate, key, all} {
		next := f[i] + ".next"
		if err := os.WriteFile(next, text, 0o600); err != nil {
			tb.Fatal(err)
		}
		if err := os.Chtimes(next, at, at); err != nil {
			tb.Fatal(err)
		}
		if err := os.Rename(next, f[i]); err != nil {
			tb.Fatal(err)
		}
	}
}

// clientConfig is that of a client of the service's.
func (a *authority) clientConfig(tb testing.TB, trusted *authority) *tls.Config {
	tb.Helper()
	certificate, key := a.issue(tb, "client")
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(trusted.certificate)
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS13}
}
