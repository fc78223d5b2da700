package gen

import (
	"fmt"
	"os"
	"path/filepath"

	schema "github.com/micro-event/micro-event/proto"
)

// Export writes the option schema beneath dir, at the path that .proto files
// import it by. It overwrites an older copy.
func Export(dir string) error {
	name := filepath.Join(dir, filepath.FromSlash(schema.Path))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if err := os.WriteFile(name, schema.Options(), 0o644); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}
