// Package everything runs the whole street at once on a real sluice, built and run as a process: a load of events into a source stream and
// two derived ones, read by NDJSON, server-sent events and websockets, delivered to webhooks, of which one is slow and one fails half the
// time, and exported into a folder and an S3. Each consumer has to get exactly what the consent rule allows, by the oracle of package verify:
// nothing lost, nothing doubled. It is a test alone, under the build tag `parts`:
//
//	go test -tags parts ./loadtest/everything                            seconds, a modest rate
//	LOADTEST_FULL=1 go test -tags parts -v -timeout 20m ./loadtest/everything   5,000 events/s for a minute
//
// LOADTEST_BINARY names a sluice to test instead of building one.
package everything
