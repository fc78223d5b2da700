package overhttp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

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

// rawTCP is a length, a body, and a byte that says that it was handled, on a connection
// for each caller: what the network and the scheduler cost without HTTP.
func rawTCP(ctx context.Context, b *measure.Bench) (measure.Side, error) {
	counter := measure.NewCounter()
	l, err := listen(ctx)
	if err != nil {
		return measure.Side{}, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed below
			}
			go answer(conn, counter)
		}
	}()
	b.Cleanup(l.Close)
	pool := make(chan net.Conn, most)
	var open sync.Mutex
	var conns []net.Conn
	b.Cleanup(func() error {
		var errs []error
		for _, c := range conns {
			errs = append(errs, c.Close())
		}
		return errors.Join(errs...)
	})
	take := func(ctx context.Context) (net.Conn, error) {
		select {
		case c := <-pool:
			return c, nil
		default:
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			open.Lock()
			conns = append(conns, c)
			open.Unlock()
		}
		return c, err
	}
	return measure.Side{Name: "raw TCP", Note: "a connection for each caller, no headers", Delivered: counter.Wait, Each: func(ctx context.Context) error {
		body, err := marshal()
		if err != nil {
			return err
		}
		c, err := take(ctx)
		if err != nil {
			return err
		}
		frame := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body))), body...)
		if _, err := c.Write(frame); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, frame[:1]); err != nil {
			return err
		}
		pool <- c
		return nil
	}}, nil
}

// answer handles what comes on a connection until it ends.
func answer(conn net.Conn, counter *measure.Counter) {
	defer conn.Close() //nolint:errcheck // the publisher sees it
	r := bufio.NewReader(conn)
	var size [4]byte
	for {
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		if handle(counter, body) != nil {
			return
		}
		if _, err := conn.Write([]byte{1}); err != nil {
			return
		}
	}
}
