// Package payload turns an XML document, as a producer sent it, into what is made of it when it is read: one JSON object for readers of the
// stream, and one CBOR map for each record of it in files. It hides XML: its syntax, its encodings, and how hostile it can be.
//
// # What becomes of a document
//
// An element is an object of members, in the order in which their names first occur:
//
//   - an attribute a is the member _a;
//   - a child element b is the member b; the name is as written, with its prefix, and xmlns is an attribute like others;
//   - text beside attributes or children is the member _VALUE, without the white space around it; only white space is no text;
//   - what has a name that occurred before makes of the member an array of all of that name.
//
// An element that has neither attributes nor children is its text, a string, white space included: empty where it has none. All values are
// strings. Comments and processing instructions are left out, CDATA is text.
//
// JSON is the object of the whole document, {"records":{"record":[…]}}: one event is one line, however many records it has. CBOR (RFC 8949)
// is a sequence of maps, one for each child of the root; one that is only text is the map of _VALUE. What the root says beside its
// children is in the JSON alone. Lengths stand before what they count, and maps keep their order.
//
// # What is refused
//
// A document type declaration, and so every entity but the five that XML has: there is nothing to expand and nothing to fetch. More than 100
// elements in each other. A second root, text around the root, an attribute twice, bytes that are none of the declared encoding. The memory
// of a Document is at most some twenty times the text, and the time is linear in it.
//
// The tokens are encoding/xml's, the library that is kept best; what it lets pass is checked here. Encodings are those of the IANA's list
// that golang.org/x/text knows, UTF-16 also by its byte order mark.
package payload
