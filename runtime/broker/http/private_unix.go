//go:build unix

package httpbroker

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// checkPrivate reports why a directory is not this user's alone.
func checkPrivate(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return errors.New("is not a directory")
	case !ok || int64(stat.Uid) != int64(os.Getuid()):
		return errors.New("belongs to somebody else")
	case info.Mode().Perm()&0o077 != 0:
		return errors.New("is open to others; its mode must be 0700")
	}
	return nil
}
