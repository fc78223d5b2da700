package report

import (
	"fmt"
	"strings"

	"github.com/micro-event/micro-event/benchmarks/internal/measure"
)

// goal is a number that this repository has promised itself.
type goal struct {
	what              string // as a reader says it
	group, name, side string // where it is measured
	of                figure
	most              float64 // of the figure
	why               string  // it is missed, when it is
}

// figure is what a goal is about.
type figure int

const (
	timeRatio figure = iota // time to the floor's
	speed                   // its inverse: the goal is a lower bound
	cpuRatio
	allocs
)

const (
	typed      = "micro-event"
	brokerOnly = "micro-event, Broker only"
	noKey      = "micro-event, no key"
	inOneGo    = "in one go"
)

// goals are all of them, in the order of the page.
var goals = []goal{
	{what: "in process, publish to handler: time", group: "in process", name: "publish to handler", side: typed, most: 1.15, why: whyInProcess},
	{what: "in process, publish to handler: allocations", group: "in process", name: "publish to handler", side: typed, of: allocs, most: 20},
	{what: "HTTP, 1 caller: speed of the broker, bytes, nothing lost", group: "HTTP, bytes", name: "1 caller", side: noKey, of: speed, most: 1},
	{what: "HTTP, 8 callers: speed of the broker, bytes, nothing lost", group: "HTTP, bytes", name: "8 callers", side: noKey, of: speed, most: 2.2, why: whyHTTP},
	{what: "HTTP, 64 callers: speed of the broker, bytes, nothing lost", group: "HTTP, bytes", name: "64 callers", side: noKey, of: speed, most: 5.5, why: whyHTTP},
	{what: "HTTP, 1 caller: speed of the typed API, nothing lost", group: "HTTP", name: "1 caller", side: typed, of: speed, most: 1},
	{what: "HTTP, 8 callers: speed of the typed API, nothing lost", group: "HTTP", name: "8 callers", side: typed, of: speed, most: 2.2, why: whyTyped},
	{what: "HTTP, 64 callers: speed of the typed API, nothing lost", group: "HTTP", name: "64 callers", side: typed, of: speed, most: 5.5, why: whyTyped},
	{what: "JetStream, 64 callers: time", group: "NATS JetStream", name: "64 callers", side: brokerOnly, most: 1},
	{what: "JetStream, in one go: time", group: "NATS JetStream", name: inOneGo, side: brokerOnly, most: 1.2},
	{what: "Kafka, in one go: time", group: "Kafka", name: inOneGo, side: brokerOnly, most: 1.3},
	{what: "Kafka, in one go: allocations, two of them the caller's body and record", group: "Kafka", name: inOneGo, side: brokerOnly, of: allocs, most: 3, why: whyKafka},
	{what: "MQTT, 1 caller: time", group: "MQTT", name: "1 caller", side: brokerOnly, most: 1.2},
	{what: "MQTT, 64 callers: time", group: "MQTT", name: "64 callers", side: brokerOnly, most: 1.2},
	{what: "RabbitMQ, 1 caller: time", group: "RabbitMQ", name: "1 caller", side: brokerOnly, most: 1.2},
	{what: "RabbitMQ, 64 callers: time", group: "RabbitMQ", name: "64 callers", side: brokerOnly, most: 1.2},
	{what: "RabbitMQ, in one go: time", group: "RabbitMQ", name: inOneGo, side: brokerOnly, most: 1.2},
	{what: "Redis Streams, 1 caller: time", group: "Redis Streams", name: "1 caller", side: brokerOnly, most: 1.2},
	{what: "Redis Streams, 64 callers: time", group: "Redis Streams", name: "64 callers", side: brokerOnly, most: 1.2},
	{what: "Redis Streams, in one go: time", group: "Redis Streams", name: inOneGo, side: brokerOnly, most: 1.2},
	{what: "generator, 44,000 events: CPU", group: "generator", name: "44000 messages", side: "protoc-gen-micro-event", of: cpuRatio, most: 0.3},
}

const (
	whyInProcess = "" +
		"Publisher and handler work at once, and an event waits for the slower of the two, which is the handler's goroutine. Two thirds of its time are decoding, an eighth " +
		"receiving and settling, 4 % the new message and 3 % the context (`perf record -g` of this comparison). Collecting garbage is spread over all of that, and goes on for most of " +
		"the time; the floor leaves it to the second core. Without it (`GOGC=off`) the ratio was 1.05 on this machine."
	whyKafka = "Before each turn the garbage of the others is collected, and with it what the pools of the client and the broker held. " +
		"Without that it is below one, the client's own included: `TestAllocationsOnARealServer` in runtime/broker/kafka holds it there."
	whyHTTP = "With 64 callers the CPU of an event is an eighth of a POST's; what is missing is the other core. " + whyCore +
		" `go test ./runtime/broker/http -run '^$' -bench Pairs -benchtime 2s -count 5` has the same pair with ids made by the caller."
	whyTyped = "Both sides encode and decode the event here, which costs the same on both and so the faster more. " +
		"\"raw TCP, shared\" in the table is that and the exchange alone, without anything that a broker is for. With 64 callers it leaves between half a microsecond and one of the time " +
		"that the goal allows, for both ends together; the engine takes as much in process, where nothing is sent. " +
		"That the events have a thousand keys costs next to nothing, as the table for bytes shows. " + whyCore
	whyCore = "CPU divided by time, in the table below, says how many cores were busy: nearly both with the bare POST, little more than one with ours. " +
		"An event passes through five goroutines that wait for each other, so that a second core gains little: " +
		"`go test ./runtime/broker/http -run '^$' -bench Conformance/64_publishers/200B -benchtime 60000x` takes with `-cpu 1` " +
		"hardly longer than with `-cpu 2`. A part of that is the system's: of the time that `perf sched record` saw, one core was idle for more than half while a thread that could run " +
		"waited for the other one, up to 4 ms, which is also where p99 comes from. \"HTTP, two processes\" has the same pair with a core for each end."
)

// verdict returns what was measured, and whether that is the goal.
func (g *goal) verdict(results []measure.Result) (measured, verdict string) {
	row, ok := find(results, g.group, g.name, g.side)
	switch {
	case !ok:
		return "", "not measured"
	case row.Void != "":
		return "", "void: " + row.Void
	}
	var value float64
	switch g.of {
	case timeRatio:
		value, measured = row.Ratio.Median, ratio(row.Ratio)
	case cpuRatio:
		value, measured = row.CPURatio.Median, ratio(row.CPURatio)
	case allocs:
		value = row.Allocs
		measured = fmt.Sprintf("%.1f", value)
	case speed:
		inverse := measure.Quartiles{Low: 1 / row.Ratio.High, Median: 1 / row.Ratio.Median, High: 1 / row.Ratio.Low}
		value, measured = inverse.Median, ratio(inverse)
	}
	half := 0.005 // of the last digit that is shown
	if g.of == allocs {
		half = 0.05
	}
	if g.of == speed && value >= g.most-half || g.of != speed && value <= g.most+half {
		return measured, "met"
	}
	return measured, "**missed**"
}

// bound is how the goal reads.
func (g *goal) bound() string {
	switch g.of {
	case speed:
		return fmt.Sprintf("at least %gx", g.most)
	case allocs:
		return fmt.Sprintf("at most %g", g.most)
	default:
		return fmt.Sprintf("at most %gx", g.most)
	}
}

func find(results []measure.Result, group, name, side string) (measure.Row, bool) {
	for _, r := range results {
		if r.Group != group || r.Name != name {
			continue
		}
		for _, row := range r.Rows {
			if row.Side == side {
				return row, true
			}
		}
	}
	return measure.Row{}, false
}

// writeGoals writes the table of goals and what those that were missed have to say.
func writeGoals(w *strings.Builder, results []measure.Result) {
	w.WriteString("| goal | | measured (quartiles) | |\n|---|---|---|---|\n")
	var missed []*goal
	for i := range goals {
		g := &goals[i]
		measured, verdict := g.verdict(results)
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", g.what, g.bound(), measured, verdict)
		if verdict == "**missed**" && g.why != "" {
			missed = append(missed, g)
		}
	}
	if len(missed) == 0 {
		return
	}
	w.WriteString("\nWhat was missed, and where the time goes:\n\n")
	for i, g := range missed {
		fmt.Fprintf(w, "- %s:", g.what)
		if i+1 < len(missed) && missed[i+1].why == g.why {
			w.WriteString(" as the next.\n")
			continue
		}
		fmt.Fprintf(w, " %s\n", g.why)
	}
}
