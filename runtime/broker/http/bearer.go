package httpbroker

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/micro-event/micro-event/runtime/broker"
)

// minSecretBytes is the shortest secret that is taken, as Standard Webhooks has it.
const minSecretBytes = 24

// bearer sends and verifies tokens (RFC 6750).
type bearer struct {
	token  func(ctx context.Context) (string, error)
	verify func(ctx context.Context, token string) (name string, err error)
}

// Bearer makes publishers send a token, and members want one. The first token is
// sent, all are taken, so that a new one can be brought in: give it to all as the
// second, then as the first, then take the old one away. A token has at least 24
// bytes. Without TLS whoever is on the way can read it.
func Bearer(tokens ...string) broker.Option {
	if err := checkSecrets(tokens); err != nil {
		return newOption(func(*options) error { return fmt.Errorf("Bearer: %w", err) })
	}
	known := make([][sha256.Size]byte, len(tokens))
	for i, t := range tokens {
		known[i] = sha256.Sum256([]byte(t))
	}
	return BearerFunc(
		func(context.Context) (string, error) { return tokens[0], nil },
		func(_ context.Context, token string) (string, error) {
			given, found := sha256.Sum256([]byte(token)), 0
			for i := range known { // each of them, so that the time tells nothing
				found |= subtle.ConstantTimeCompare(known[i][:], given[:])
			}
			if found == 0 {
				return "", errors.New("unknown token")
			}
			return "", nil
		})
}

// checkSecrets wants at least one, and none that can be guessed or sent wrongly.
func checkSecrets(secrets []string) error {
	if len(secrets) == 0 {
		return errors.New("there is none")
	}
	for i, s := range secrets {
		if len(s) < minSecretBytes {
			return fmt.Errorf("number %d has %d bytes, want at least %d", i+1, len(s), minSecretBytes)
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("number %d has a character that is not printable ASCII", i+1)
		}
	}
	return nil
}

// BearerFunc is [Bearer] for tokens that somebody else issues and verifies, such
// as a JWT. Token is called for each request that is sent and should keep what it
// got; verify for each that arrives, and returns the name of the peer. Its error
// refuses; the text stays here, in the log. Both may be called concurrently.
func BearerFunc(
	token func(ctx context.Context) (string, error),
	verify func(ctx context.Context, token string) (name string, err error),
) broker.Option {
	return newOption(func(o *options) error {
		if token == nil || verify == nil {
			return errors.New("BearerFunc: a function is nil")
		}
		o.bearer = &bearer{token, verify}
		return nil
	})
}

// appendHeader appends the header of a request.
func (b *bearer) appendHeader(ctx context.Context, to []byte) ([]byte, error) {
	token, err := b.token(ctx)
	if err == nil {
		err = checkSecrets([]string{token})
	}
	if err != nil {
		return to, fmt.Errorf("token: %w", err)
	}
	to = append(to, "Authorization: Bearer "...)
	return append(append(to, token...), "\r\n"...), nil
}

// peer returns the name of who sent a request.
func (b *bearer) peer(ctx context.Context, h http.Header) (string, error) {
	scheme, token, found := strings.Cut(h.Get("Authorization"), " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errNoCredentials
	}
	name, err := b.verify(ctx, token)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errCredentials, err)
	}
	return name, nil
}

// The reasons of a refusal, which a client is told; what verifiers said is not
// among them.
var (
	errNoCredentials = errors.New("credentials are missing")
	errCredentials   = errors.New("credentials are not valid")
	errExpired       = errors.New("the signature is too old or from the future")
	errReplayed      = errors.New("the request was sent before")
	errCrowded       = errors.New("too many signed requests")
)
