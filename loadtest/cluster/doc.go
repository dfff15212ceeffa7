// Package cluster hides nothing: it holds the tests of several nodes on one log. Each starts three real log servers, built
// from the module in go.mod, and two gateways on them as processes, and takes some of them away again.
//
// The tests run with the tag parts.
package cluster
