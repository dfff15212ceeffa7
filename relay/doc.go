// Package relay is the core of Sluice: what happens to an event between an edge that took it and an edge that
// shows it. It hides when a thing is shared and when it is not.
//
// # In
//
// Accept holds an event to its contract, encrypts its personal fields with the key of this person, key field and
// day, and returns when the log has it. AcceptBulk does so for a body of many. Clear personal data lives in the
// request's bytes and in a pooled intake meanwhile, and nowhere after.
//
// An event that has an id of its own, where its contract says so, is stored once in ten minutes on its stream: a copy is
// answered as accepted. The ids are in the log, where a node reads those of the last ten minutes before it takes the
// stream's first event; 2^23 of them are remembered, in some 250 MB at most, beyond which events are refused as busy.
//
// AcceptPayload takes what no contract is asked of. XML is stored as it came: what can be made of it is seen when it is read, and what cannot be
// read is shown to nobody and given, as all payloads are, by Payloads to what lands them in files.
//
// # Out
//
// A stream that somebody reads has one hub, the live tail: the hub opens each block once for each view (a
// consent rule) and writes each event once for each rendering (view, filter, subset, format, framing). A rendering's
// bytes lie in a ring as chunks of whole events; a thousand readers of one rendering write the same bytes, whether
// those are lines, server-sent events or websocket frames, and those who want them deflated share that too.
//
// A Reader is a position. While the ring still holds what follows it, the reader takes chunks from the ring;
// otherwise it reads the log alone, under the same view and rendering, until it meets the ring again. So a reader
// that stops costs nobody memory but the chunk it is writing, and loses nothing.
//
// # Laws
//
// A position moves over events that are not shown, too, else a narrow reader would never get on.
//
// Blocks reach a hub in the order of the log. A hub that cannot keep up forgets its inbox and reads the log.
//
// A ring's base is the last offset it has let go of; everything shown behind base is in the ring. A reader at or
// behind base's right side may take from the ring, any other must read the log. The log is asked for its end after
// base was looked at, so that at the log's end everything up to that base has been read.
//
// Forget first erases the keys and then purges the rings under the hub's lock: what a tick renders after that finds
// no key, and what was rendered before is gone.
//
// Locks: Relay.mu, then hub.mu, then ring.mu; the inbox's lock is held alone.
package relay
