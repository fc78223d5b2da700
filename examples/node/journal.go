package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// journal writes lines, each with one call, so that they survive a kill.
type journal struct {
	mu   sync.Mutex
	out  io.Writer
	file *os.File // nil when out is the caller's
	err  error    // the first one

	goroutines atomic.Int64 // the most that were seen
	stop       chan struct{}
	sampled    chan struct{}
}

const sampleInterval = 20 * time.Millisecond

func openJournal(path string, out io.Writer) (*journal, error) {
	j := &journal{out: out, stop: make(chan struct{}), sampled: make(chan struct{})}
	if path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		j.out, j.file = f, f
	}
	go j.sample()
	return j, nil
}

func (j *journal) write(words ...string) {
	line := strconv.FormatInt(time.Now().UnixNano(), 10) + " " + strings.Join(words, " ") + "\n"
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := io.WriteString(j.out, line); err != nil && j.err == nil {
		j.err = err
	}
}

// sample watches how many goroutines there are.
func (j *journal) sample() {
	defer close(j.sampled)
	ticker := time.NewTicker(sampleInterval)
	defer ticker.Stop()
	for {
		if n := int64(runtime.NumGoroutine()); n > j.goroutines.Load() {
			j.goroutines.Store(n)
		}
		select {
		case <-ticker.C:
		case <-j.stop:
			return
		}
	}
}

func (j *journal) close() error {
	close(j.stop)
	<-j.sampled
	j.write("end", fmt.Sprint(j.goroutines.Load()), fmt.Sprint(peakMemory()))
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		if err := j.file.Close(); err != nil && j.err == nil {
			j.err = err
		}
	}
	return j.err
}

// peakMemory is the most memory that the process had, in KiB, 0 where that is
// not known.
func peakMemory() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
