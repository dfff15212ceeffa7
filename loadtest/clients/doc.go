// Package clients hides nothing: it holds the tests that run published clients of the systems whose protocols Sluice speaks, unmodified,
// against a sluice process. They are installed from their registries into a folder of the test's.
//
// The tests run with the tag parts, and need node and npm.
package clients
