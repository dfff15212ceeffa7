// Package filters hides the load of many consumers that each want another part of a stream: 200 different filters of
// /api/events that pass about one event of a hundred, a generator of the events they are about, an oracle that
// evaluates a filter's text word by word on an event's text, and the run that opens the connections, sends at a steady
// pace and counts what comes at each of them.
//
// The oracle shares no code with what it checks, and is slow.
//
// The package's test, under the build tag `parts`, takes seconds; with LOADTEST_FULL=1 it is 2,000 connections for a
// minute. The benchmark's row `filters` compares what the same costs the server with and without filters.
package filters
