package kafkabroker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const defaultPort = "9092"

// parseURL reads scheme://[user:password@]host[:port][,host[:port]]...[?sasl=...].
// The list of hosts is none that package net/url knows. Errors leave out the URL,
// which may have a password.
func parseURL(s string, cfg *config) (seeds []string, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	switch {
	case ok && scheme == "kafka":
	case ok && scheme == "kafkas":
		cfg.tls = new(tls.Config)
	default:
		return nil, errors.New("url does not begin with kafka:// or kafkas://")
	}
	rest, query, _ := strings.Cut(rest, "?")
	rest = strings.TrimSuffix(rest, "/")
	hosts := rest
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		hosts = rest[at+1:]
		if err := setCredentials(rest[:at], query, cfg); err != nil {
			return nil, err
		}
	} else if query != "" {
		return nil, errors.New("url has parameters but no user")
	}
	for host := range strings.SplitSeq(hosts, ",") {
		seed, err := seedOf(host)
		if err != nil {
			return nil, err
		}
		seeds = append(seeds, seed)
	}
	return seeds, nil
}

// seedOf returns host with a port.
func seedOf(host string) (string, error) {
	if strings.Count(host, ":") == 0 || strings.HasSuffix(host, "]") {
		host += ":" + defaultPort
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil || name == "" || port == "" || strings.ContainsAny(name, "/@?# ") {
		return "", fmt.Errorf("url has %q where a host is wanted", host)
	}
	return host, nil
}

func setCredentials(userinfo, query string, cfg *config) error {
	name, password, _ := strings.Cut(userinfo, ":")
	name, nameErr := url.PathUnescape(name)
	password, passwordErr := url.PathUnescape(password)
	if nameErr != nil || passwordErr != nil {
		return errors.New("url has a user or password that is not escaped as a URL demands")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	mechanism := values.Get("sasl")
	values.Del("sasl")
	if len(values) > 0 {
		return errors.New("url has a parameter other than sasl")
	}
	switch strings.ToUpper(mechanism) {
	case "", "PLAIN":
		cfg.sasl = plain.Auth{User: name, Pass: password}.AsMechanism()
	case "SCRAM-SHA-256":
		cfg.sasl = scram.Auth{User: name, Pass: password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		cfg.sasl = scram.Auth{User: name, Pass: password}.AsSha512Mechanism()
	default:
		return fmt.Errorf("url has sasl=%s, want plain, scram-sha-256 or scram-sha-512", mechanism)
	}
	return nil
}
