//go:build unix

package measure

import (
	"syscall"
	"time"
)

// cpuTime is the time that this process has used of all processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // RUSAGE_SELF always works
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
