// Package stream sends endless answers: events to a client for as long as it listens, as lines, as server-sent events
// or as messages of a websocket, by one pump. It hides the connection: that it was taken from the HTTP server, how the
// body is framed and compressed, when a sign of life is due, and how a response ends so that every client understands
// the end.
//
// A gzip response is one member made of parts that all connections share. Each part was deflated with an empty
// window and ends on a byte boundary, so parts of any origin stand one behind the other; the member ends with an
// empty final block and a checksum combined from those of the parts.
//
// A websocket's frames are shared like lines, and written as they are between the control frames, which are the
// websocket library's; one lock on the connection keeps them apart.
//
// A client that does not read blocks its own goroutine in one write, holding one chunk, for as long as the write
// timeout; nobody else notices. One that leaves is noticed at its socket at once, though nothing is sent to it, and one
// whose machine has vanished after half a minute.
package stream
