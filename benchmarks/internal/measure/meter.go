package measure

import (
	"runtime"
	"time"
)

// meter measures what this process uses: its children and servers are others.
type meter struct {
	began  time.Time
	cpu    time.Duration
	memory runtime.MemStats
}

func start() *meter {
	m := new(meter)
	runtime.ReadMemStats(&m.memory)
	m.cpu = cpuTime()
	m.began = time.Now()
	return m
}

// stop returns what was used since, for each of n messages.
func (m *meter) stop(n int) sample {
	took, cpu := time.Since(m.began), cpuTime()-m.cpu
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	each := float64(n)
	return sample{
		time:   float64(took) / each,
		cpu:    float64(cpu) / each,
		allocs: float64(now.Mallocs-m.memory.Mallocs) / each,
		bytes:  float64(now.TotalAlloc-m.memory.TotalAlloc) / each,
	}
}
