// Package report writes docs/performance.md and its plots from the results of a run.
package report
