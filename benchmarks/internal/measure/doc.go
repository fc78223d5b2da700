// Package measure compares ways to do the same thing, in turns within one run.
//
// A [Comparison] has sides, of which the first is the floor. In each round every
// side has one turn of about the same length, in an order that changes from round to
// round, so that whatever else the machine does hits all of them. What is reported of
// a side is the median and the quartiles of its turns, and of the ratio of its time to
// the floor's in the same round.
//
// A comparison that is run again goes on, so that a state of the machine that lasts for
// minutes does not decide: see [Bench.Compare].
//
// A side that did not deliver exactly what it published is void: its times say
// nothing, and the [Row] says why.
package measure
