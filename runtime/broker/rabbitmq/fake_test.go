package rabbitmqbroker_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// verb is a method of AMQP: its class and its number in it.
type verb uint32

// Methods. An answer has the number after that of its question.
const (
	anyVerb           verb = 0 // the protocol header, before all methods
	connectionStart   verb = 10<<16 | 10
	connectionStartOK verb = 10<<16 | 11
	connectionTune    verb = 10<<16 | 30
	connectionOpen    verb = 10<<16 | 40
	connectionClose   verb = 10<<16 | 50
	connectionBlocked verb = 10<<16 | 60
	connectionUnblock verb = 10<<16 | 61
	channelOpen       verb = 20<<16 | 10
	channelClose      verb = 20<<16 | 40
	exchangeDeclare   verb = 40<<16 | 10
	queueDeclare      verb = 50<<16 | 10
	queueBind         verb = 50<<16 | 20
	queueDelete       verb = 50<<16 | 40
	basicQos          verb = 60<<16 | 10
	basicConsume      verb = 60<<16 | 20
	basicCancel       verb = 60<<16 | 30
	basicPublish      verb = 60<<16 | 40
	basicPublishBegin verb = 60<<16 | 9999 // no method: before the content is read
	basicReturn       verb = 60<<16 | 50
	basicDeliver      verb = 60<<16 | 60
	basicAck          verb = 60<<16 | 80
	basicReject       verb = 60<<16 | 90
	basicNack         verb = 60<<16 | 120
	confirmSelect     verb = 85<<16 | 10
)

// method is what a client has sent.
type method struct {
	peer    *peer
	channel uint16
	verb    verb
	args    []byte
	tag     uint64 // of a message that is published, from 1 in each channel
	header  []byte // of its content
	body    []byte
}

// script does what the fake does at a method; nil is to do nothing.
type script func(m *method)

// fake is as much of an AMQP 0.9.1 server as a client notices, without exchanges and
// queues. It answers every question with yes and confirms every message, where a
// script does not say otherwise.
type fake struct {
	t        testing.TB
	listener net.Listener
	serving  sync.WaitGroup

	mu      sync.Mutex
	scripts map[verb]script
	peers   []*peer
	count   map[verb]int
}

// peer is a connection that a client has made.
type peer struct {
	fake   *fake
	number int // of the connection, from 1
	conn   net.Conn
	tags   map[uint16]uint64 // of the last message, by channel

	writing sync.Mutex
}

// startFake starts a server, which ends with the test. Goroutines must have ended by
// then. With a configuration it speaks TLS.
func startFake(t testing.TB, config *tls.Config) *fake {
	t.Helper()
	endsAllGoroutines(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	if config != nil {
		l = tls.NewListener(l, config)
	}
	f := &fake{t: t, listener: l, scripts: make(map[verb]script), count: make(map[verb]int)}
	f.serving.Go(f.accept)
	t.Cleanup(func() {
		must(t, l.Close())
		f.cut()
		f.serving.Wait()
	})
	return f
}

func (f *fake) address() string { return f.listener.Addr().String() }

func (f *fake) url() string { return "amqp://user:secret@" + f.address() + "/" }

// on sets what is done at a method.
func (f *fake) on(v verb, s script) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.scripts[v] = s
}

// seen returns how many of a method have come.
func (f *fake) seen(v verb) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count[v]
}

// cut breaks all connections.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.peers {
		_ = p.conn.Close() //nolint:errcheck // it may be closed already
	}
}

func (f *fake) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		p := &peer{fake: f, number: len(f.peers) + 1, conn: conn, tags: make(map[uint16]uint64)}
		f.peers = append(f.peers, p)
		f.mu.Unlock()
		f.serving.Go(func() {
			defer conn.Close() //nolint:errcheck // it may be closed already
			if err := p.serve(); err != nil && !errors.Is(err, io.EOF) && !errors.As(err, new(net.Error)) {
				f.t.Errorf("fake: %v", err)
			}
		})
	}
}

// serve reads until the connection ends.
func (p *peer) serve() error {
	in := bufio.NewReader(p.conn)
	if _, err := io.ReadFull(in, make([]byte, len("AMQP0091"))); err != nil {
		return ignoreTLS(err)
	}
	p.fake.handle(&method{peer: p, verb: anyVerb})
	for {
		m, err := p.read(in)
		if err != nil {
			return ignoreTLS(err)
		}
		if m != nil {
			p.fake.handle(m)
		}
	}
}

// ignoreTLS hides errors of a handshake, which the other side reports, and of a
// message that was cut.
func ignoreTLS(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(tls.AlertError)) {
		return io.EOF
	}
	return err
}

// read reads a method, and what is published with it; nil is a heartbeat, which is answered.
func (p *peer) read(in *bufio.Reader) (*method, error) {
	kind, channel, payload, err := readFrame(in)
	if err != nil {
		return nil, err
	}
	if kind == frameHeartbeat {
		p.write(frame(frameHeartbeat, 0, nil)) // even a server that does not answer lives
		return nil, nil
	}
	m := &method{peer: p, channel: channel, verb: verb(binary.BigEndian.Uint32(payload)), args: payload[4:]}
	if m.verb != basicPublish {
		return m, nil
	}
	p.tags[channel]++
	m.tag = p.tags[channel]
	p.fake.handle(&method{peer: p, channel: channel, verb: basicPublishBegin, tag: m.tag})
	if m.header, err = readContent(in); err != nil {
		return nil, err
	}
	for size := binary.BigEndian.Uint64(m.header[4:]); uint64(len(m.body)) < size; {
		part, err := readContent(in)
		if err != nil {
			return nil, err
		}
		m.body = append(m.body, part...)
	}
	return m, nil
}

// handle does what the script says, or the usual.
func (f *fake) handle(m *method) {
	f.mu.Lock()
	f.count[m.verb]++
	s, ok := f.scripts[m.verb]
	f.mu.Unlock()
	switch {
	case !ok:
		m.answer()
	case s != nil:
		s(m)
	}
}

// answer is what a server does that is well.
func (m *method) answer() {
	switch m.verb {
	case anyVerb:
		m.send(connectionStart, join([]byte{0, 9, 0, 0, 0, 0}, long("PLAIN"), long("en_US")))
	case connectionStartOK:
		m.send(connectionTune, []byte{0, 0, 0, 2, 0, 0, 0, 0}) // frames of 128 KiB
	case connectionOpen:
		m.send(m.verb+1, short(""))
	case channelOpen:
		m.send(m.verb+1, long(""))
	case connectionClose, channelClose, exchangeDeclare, queueBind, basicQos, confirmSelect:
		m.send(m.verb+1, nil)
	case queueDeclare:
		m.send(m.verb+1, join(short("q"), make([]byte, 8)))
	case queueDelete:
		m.send(m.verb+1, make([]byte, 4))
	case basicConsume:
		m.send(m.verb+1, short("c0"))
	case basicCancel:
		m.send(m.verb+1, short("c0"))
	case basicPublish:
		m.confirm(basicAck)
	default: // no question
	}
}

// send sends a method on the channel of m.
func (m *method) send(v verb, args []byte) {
	m.peer.write(frame(frameMethod, m.channel, join(binary.BigEndian.AppendUint32(nil, uint32(v)), args)))
}

// confirm answers a message with basicAck or basicNack.
func (m *method) confirm(v verb) {
	m.send(v, append(binary.BigEndian.AppendUint64(nil, m.tag), 0))
}

// giveBack returns a message that nobody wants.
func (m *method) giveBack() {
	m.send(basicReturn, join([]byte{1, 56}, short("NO_ROUTE"), short("micro-event"), short("topic")))
	m.content(m.header, m.body)
}

// deliver sends the first message to the consumer on the channel of m.
func (m *method) deliver(body string) {
	m.send(basicDeliver, join(short("c0"), []byte{0, 0, 0, 0, 0, 0, 0, 1, 0}, short("micro-event"), short("topic")))
	m.content(join([]byte{0, 60, 0, 0}, binary.BigEndian.AppendUint64(nil, uint64(len(body))), []byte{0, 0}), []byte(body))
}

func (m *method) content(header, body []byte) {
	b := frame(frameHeader, m.channel, header)
	if len(body) > 0 {
		b = append(b, frame(frameBody, m.channel, body)...)
	}
	m.peer.write(b)
}

// closeChannel and closeConnection are how a server says that something is wrong.
func (m *method) closeChannel(code uint16, text string) {
	m.send(channelClose, refusal(code, text))
}

func (m *method) closeConnection(code uint16, text string) {
	(&method{peer: m.peer}).send(connectionClose, refusal(code, text))
}

// write writes frames. The client may be gone.
func (p *peer) write(b []byte) {
	p.writing.Lock()
	defer p.writing.Unlock()
	_, _ = p.conn.Write(b) //nolint:errcheck // see above
}

// patience is how long tests wait for what must come.
const patience = 30 * time.Second

// endsAllGoroutines compares the goroutines at the end of the test, when all that was
// registered after it has ended, with those that there are now.
func endsAllGoroutines(t testing.TB) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		for began := time.Now(); ; {
			err := goleak.Find(before) // it waits a while
			if err == nil {
				return
			}
			if time.Since(began) > patience {
				t.Fatal(err)
			}
		}
	})
}
