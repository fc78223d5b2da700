// Package secrets makes what the HTTP example needs to be secure: an authority, a
// certificate for each service, and a secret to sign with. In production an issuer
// such as cert-manager or SPIRE makes the certificates and renews the files.
package secrets

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/micro-event/micro-event/runtime/broker"
	httpbroker "github.com/micro-event/micro-event/runtime/broker/http"
)

// services are those that get a certificate.
var services = []string{"checkout", "billing"}

// Options returns the options of a service's broker whose secrets are in dir, which
// is made if it does not exist: mutual TLS, and signed requests.
func Options(dir, service string) ([]broker.Option, error) {
	if err := ensure(dir); err != nil {
		return nil, err
	}
	secret, err := os.ReadFile(filepath.Join(dir, "secret"))
	if err != nil {
		return nil, err
	}
	return []broker.Option{
		httpbroker.TLSFiles(filepath.Join(dir, service+".pem"), filepath.Join(dir, service+".key"), filepath.Join(dir, "authority.pem")),
		httpbroker.HMAC(string(secret)),
	}, nil
}

// ensure makes the directory at once, so that of several processes one makes it.
func ensure(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".new-")
	if err != nil {
		return err
	}
	if err := fill(next); err != nil {
		return errors.Join(err, os.RemoveAll(next))
	}
	if err := os.Rename(next, dir); err != nil { // another process was faster
		return errors.Join(os.RemoveAll(next), ignoreExist(err, dir))
	}
	return nil
}

func ignoreExist(err error, dir string) error {
	if _, statErr := os.Stat(dir); statErr == nil {
		return nil
	}
	return err
}

func fill(dir string) error {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	if err := write(dir, "secret", []byte("whsec_"+base64.StdEncoding.EncodeToString(secret))); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authority := template("example authority")
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	if err := issue(dir, "authority", authority, authority, key, key); err != nil {
		return err
	}
	for _, service := range services {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		c := template(service)
		c.DNSNames, c.IPAddresses = []string{service}, []net.IP{net.IPv4(127, 0, 0, 1)}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
		if err := issue(dir, service, c, authority, own, key); err != nil {
			return err
		}
		encoded, err := x509.MarshalECPrivateKey(own)
		if err != nil {
			return err
		}
		if err := write(dir, service+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})); err != nil {
			return err
		}
	}
	return nil // the key of the authority is forgotten
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(0, 0, 30), KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// issue writes the certificate of the owner of key, signed by issuer.
func issue(dir, name string, c, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return err
	}
	return write(dir, name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func write(dir, name string, content []byte) error {
	return os.WriteFile(filepath.Join(dir, name), content, 0o600)
}
