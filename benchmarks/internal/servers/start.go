package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// installed are the servers by the names that scripts/services knows.
var installed = []string{"nats", "kafka", "rabbitmq", "redis", "mosquitto"}

// Start starts the servers with program, which is scripts/services, and sets the
// variables that it prints. What cannot be had here is left out.
func Start(ctx context.Context, program string, log func(format string, args ...any)) error {
	for _, name := range installed {
		c := exec.CommandContext(ctx, program, "up", name) //nolint:gosec // it is scripts/services
		c.Stderr = os.Stderr
		out, err := c.Output()
		if err != nil {
			log("no %s here: %v", name, err)
			continue
		}
		if err := setVariables(string(out)); err != nil {
			return err
		}
	}
	return nil
}

// setVariables sets what the lines of a shell export.
func setVariables(lines string) error {
	for line := range strings.Lines(lines) {
		assignment, ok := strings.CutPrefix(strings.TrimSpace(line), "export ")
		if !ok {
			continue
		}
		name, value, found := strings.Cut(assignment, "=")
		if !found {
			return fmt.Errorf("servers: %q has no value", line)
		}
		if err := os.Setenv(name, strings.Trim(value, "'")); err != nil {
			return fmt.Errorf("servers: %q: %w", line, err)
		}
	}
	return nil
}
