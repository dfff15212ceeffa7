// Package oracle says what must become of an event: whether its contract takes it, what each stream shows of it, and how. It knows what
// the documents of the gateway promise and nothing of how the gateway keeps it: it imports none of its packages, decodes everything
// into trees, walks schemas literally, and is slow. Tests hold the gateway to it.
//
// A contract is parsed from the two files that its author would give; Contract.Judge then names every fault of an event, for a gateway
// may stop at any of them. A View is a stream's rule of consent and its masks; View.Show builds what the stream must show from the
// event in clear and as it is in the source stream. Keys are those that the gateway exported, opened by Tink.
package oracle
