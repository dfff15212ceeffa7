// Package k6 holds load scenarios for k6 against a real sluice: single.js and bulk.js send events, longpoll.js and websocket.js read them
// while they are sent, webhook.js sends them to a receiver, amperity.js sends payloads at a steady rate, for as little of a shared machine as
// k6 can. Each has thresholds that end k6 with an error: every check holds and no event is lost. Package everything and the benchmark
// measure; these are for whoever has k6 and a server of their own:
//
//	go install -C loadtest/k6/tools go.k6.io/k6
//	BASE=http://127.0.0.1:8080 STREAM=web TOKEN=… USERS=20 SECONDS=30 k6 run --no-usage-report loadtest/k6/longpoll.js
//
// USERS is at least 2 for those that read. k6 itself is pinned by the module in tools, so that this module does not depend on what k6 does.
// The package's test, under the build tag `parts`, builds it, starts a sluice and runs every scenario for seconds.
package k6
