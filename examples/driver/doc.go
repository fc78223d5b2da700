// Package spoolbroker is the worked example of docs/writing-a-broker.md: a
// driver whose transport is a directory. Processes of one machine that share
// the directory share its topics.
//
// It is complete and passes the conformance suite, but small before fast: it
// polls, and it does not sync files to the disk.
package spoolbroker
