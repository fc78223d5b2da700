package servers

import (
	"os"
	"testing"
)

// TestSetVariables reads what scripts/services prints.
func TestSetVariables(t *testing.T) {
	const url, command = "BENCHMARKS_TEST_URL", "BENCHMARKS_TEST_COMMAND"
	t.Setenv(url, "") // and back, when the test ends
	t.Setenv(command, "")
	lines := "services: rabbitmq is up\n" +
		"export " + url + "=amqp://guest:guest@127.0.0.1:15673/?a=b\n" +
		"export " + command + "='scripts/services restart rabbitmq'\n"
	if err := setVariables(lines); err != nil {
		t.Fatal(err)
	}
	if err := setVariables("export BENCHMARKS_TEST_URL"); err == nil {
		t.Error("a line without a value: got no error")
	}
	for name, want := range map[string]string{
		url:     "amqp://guest:guest@127.0.0.1:15673/?a=b",
		command: "scripts/services restart rabbitmq",
	} {
		if got := os.Getenv(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
