package gen

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// problems collects what is wrong with the events of a request.
type problems struct {
	list []problem
}

type problem struct {
	at   position
	text string
}

// add reports what is wrong with an event, and how to fix it.
func (ps *problems) add(at position, e *event, wrong, fix string) {
	ps.addText(at, fmt.Sprintf("%s: %s (%s)", e.shortName(), wrong, fix))
}

func (ps *problems) addText(at position, text string) { ps.list = append(ps.list, problem{at, text}) }

// err returns all problems as one error, a line each, in the order of their
// positions, or nil.
func (ps *problems) err() error {
	if len(ps.list) == 0 {
		return nil
	}
	slices.SortStableFunc(ps.list, func(a, b problem) int { return a.at.compare(b.at) })
	var lines []string
	for _, p := range ps.list {
		lines = append(lines, p.at.String()+": "+p.text)
	}
	return errors.New(strings.Join(lines, "\n"))
}
