package httpbroker

import (
	"fmt"
	"net/http"
)

// kind is what became of a message at one member.
type kind uint8

const (
	done     kind = iota // it was handled, or accepted
	rejected             // refused for good
	unsent               // certainly not taken: no connection, or given up before
	leaving              // certainly not taken: the member is gone or going
	full                 // certainly not taken: the member has no room
	failed               // certainly not taken: the member has a problem
	cut                  // perhaps taken: the connection or the time ended
)

// verdict is the answer to one message.
type verdict struct {
	kind kind
	err  error
}

func verdictOf(r result) verdict {
	switch r.status {
	case http.StatusOK, http.StatusAccepted:
		return verdict{kind: done}
	default:
		return verdict{kindOf(r.status), &statusError{r.status, r.reason}}
	}
}

// kindOf returns what a status says about a message.
func kindOf(status int) kind {
	switch status {
	case http.StatusNotFound, http.StatusMisdirectedRequest, http.StatusServiceUnavailable:
		return leaving
	case http.StatusTooManyRequests:
		return full
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return failed
	}
	switch {
	case status >= 500:
		return cut // perhaps it was taken before
	case status >= 400:
		return rejected
	}
	return failed // a redirection, which is never followed, or nonsense
}

// statusError is a status that a member answered with.
type statusError struct {
	status int
	reason string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("answer %d %s", e.status, http.StatusText(e.status))
	if e.reason != "" {
		text += ": " + e.reason
	}
	return text
}

// refusalError is an answer to a request as a whole.
type refusalError struct {
	statusError
	kind kind
}
