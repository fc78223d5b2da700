package overhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
	"github.com/micro-event/micro-event/benchmarks/internal/sample"
)

// bare is one POST of net/http for each event, with the content type as its only header.
func bare(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter := measure.NewCounter()
	return posts(ctx, b, counter, marshal, func(r io.Reader) error { return readAndHandle(r, counter) })
}

// posts sends what body returns, one POST for each, to a server that reads it.
func posts(
	ctx context.Context, b *measure.Bench, counter *measure.Counter, body func() ([]byte, error), read func(io.Reader) error,
) (measure.Side, error) {
	url, err := serve(ctx, b, reads(read))
	if err != nil {
		return measure.Side{}, err
	}
	return measure.Side{
		Name: "net/http", Note: "one POST for each event, without headers of the event", Delivered: counter.Wait, Each: poster(b, url, body),
	}, nil
}

// reads is a handler that reads the body of each request.
func reads(read func(io.Reader) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if read(r.Body) != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
}

func readAndHandle(r io.Reader, counter *measure.Counter) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return handle(counter, body)
}

// poster posts what body returns.
func poster(b *measure.Bench, url string, body func() ([]byte, error)) func(context.Context) error {
	client := client(b)
	return func(ctx context.Context) error {
		body, err := body()
		if err != nil {
			return err
		}
		return Post(ctx, client, url, body)
	}
}

// Post sends a body, as every side of net/http does, and wants 200.
func Post(ctx context.Context, client *http.Client, url string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", sample.ContentType)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}
