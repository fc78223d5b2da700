package measure

import (
	"runtime"
	"time"
)

// meter measures what this process uses, or what its children do.
type meter struct {
	children bool
	began    time.Time
	cpu      time.Duration
	memory   runtime.MemStats
}

func start(children bool) *meter {
	m := &meter{children: children}
	runtime.ReadMemStats(&m.memory)
	m.cpu = cpuTime(m.children)
	m.began = time.Now()
	return m
}

// stop returns what was used since, for each of n messages.
func (m *meter) stop(n int) sample {
	took, cpu := time.Since(m.began), cpuTime(m.children)-m.cpu
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	each := float64(n)
	s := sample{time: float64(took) / each, cpu: float64(cpu) / each}
	if !m.children {
		s.allocs = float64(now.Mallocs-m.memory.Mallocs) / each
		s.bytes = float64(now.TotalAlloc-m.memory.TotalAlloc) / each
	}
	return s
}
