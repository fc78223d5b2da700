package report

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Machine is where and with what a run was made.
type Machine struct {
	Date     string   `json:"date"`
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	System   string   `json:"system"`
	Go       string   `json:"go"`
	Versions []string `json:"versions"` // of what is compared
	Seconds  float64  `json:"seconds"`  // that the run took
}

// compared are the modules whose versions a reader wants to know, by their prefix.
var compared = []string{
	"connectrpc.com/connect", "github.com/IBM/sarama", "github.com/ThreeDotsLabs/", "github.com/cloudevents/",
	"github.com/eclipse/paho.golang", "github.com/nats-io/nats.go", "github.com/rabbitmq/amqp091-go",
	"github.com/redis/", "github.com/twmb/franz-go", "go-micro.dev/", "gocloud.dev", "google.golang.org/protobuf",
	"google.golang.org/grpc/cmd",
}

// ThisMachine describes this one. What cannot be found out is empty.
func ThisMachine() Machine {
	m := Machine{
		Date: time.Now().UTC().Format(time.DateOnly), CPU: processor(), Cores: runtime.GOMAXPROCS(0),
		System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
	}
	if out, err := exec.Command("uname", "-sr").Output(); err == nil { //nolint:noctx // ends at once
		m.System = strings.TrimSpace(string(out)) + ", " + m.System
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if slices.ContainsFunc(compared, func(prefix string) bool { return strings.HasPrefix(d.Path, prefix) }) {
				m.Versions = append(m.Versions, d.Path+" "+d.Version)
			}
		}
	}
	return m
}

// processor returns the name of the processor, as Linux tells it.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
