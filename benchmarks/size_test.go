package benchmarks

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkBinarySizes builds the same program with a broker of this repository and
// with the bare client, and reports the sizes. Both link the same messages.
func BenchmarkBinarySizes(b *testing.B) {
	for _, name := range []string{"nats", "kafka"} {
		b.Run(name, func(b *testing.B) {
			var raw, ours int64
			for b.Loop() {
				raw, ours = binarySize(b, name+"raw"), binarySize(b, name)
			}
			b.ReportMetric(float64(raw), "raw-bytes")
			b.ReportMetric(float64(ours), "ours-bytes")
			b.ReportMetric(float64(ours)/float64(raw), "ours-x")
		})
	}
}

func binarySize(b *testing.B, name string) int64 {
	b.Helper()
	out := filepath.Join(b.TempDir(), name)
	text, err := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./size/"+name).CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	info, err := os.Stat(out)
	must(b, err)
	return info.Size()
}
