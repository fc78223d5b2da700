//go:build unix

package measure

import (
	"syscall"
	"time"
)

// cpuTime is the time that this process, or the children that it waited for, have used
// of all processors.
func cpuTime(children bool) time.Duration {
	who := syscall.RUSAGE_SELF
	if children {
		who = syscall.RUSAGE_CHILDREN
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0 // both always work
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
