//go:build !unix

package httpbroker

import (
	"errors"
	"io/fs"
)

// checkPrivate reports why a directory cannot be used. The temporary directory
// of these systems is the user's own.
func checkPrivate(info fs.FileInfo) error {
	if !info.IsDir() {
		return errors.New("is not a directory")
	}
	return nil
}
