// Package export writes the events of a stream as objects to where others pick them up, a folder or a bucket: JSON Lines, each the
// event as the stream shows it, one object for each window of time that has events. The payloads of streams that take such land likewise, see
// Landing files. It hides how a window is decided, how an object is made exactly once, and how a store is spoken to.
//
// # The life of an object
//
// Plan: when a window has ended, scan looks which events are its, and the plan {which events, which name, which upload} is stored in the
// exporter's cell by compare-and-set. It names no view: an object is known by its upload and not by its content, so a repeat may show the
// events by the rule that is in force by then. Upload: the events are read again, shown by the stream's rule, and sent piece by piece; the store makes
// the object whole or not at all, and never over another. Commit: the position behind the plan is stored.
//
// # What a crash can leave
//
//   - Before the plan is stored: nothing. The window is looked at again.
//   - A plan, and nothing or a part of the object in the store: nobody sees the part. The next owner of the cell sweeps it and makes the
//     object.
//   - A plan and its object: the next owner finds the object, knows it by its upload, and commits.
//   - A committed position and traces of the upload: the next owner takes them away.
//
// A late owner, whose cell somebody else took, makes the same object as the new one: the same events under the same name, and the store
// takes it once. Names never come again, see scan. A name that somebody else's object has (of an exporter that was deleted, say) is left
// alone, and the next number of the window taken.
//
// # Forgotten people
//
// A window is opened when its object is made: whoever was forgotten until then stays ciphertext in it. What is in objects already, and up to
// PartBytes on their way there, is out of our hands.
//
// # Landing files
//
// What a payload stream accepted lands by the same plans, uploads and commits, in windows of a minute that are aligned in UTC, in the stream's
// sink or in Config.Landing. A plan then has up to three objects, named by the acceptance of the first payload and the plan's upload:
//
//	ingest/stream/<tenant>/<stream id>/<yyyy-MM-dd>/<HH>-<mm>-<ss>-<uuid>.ndjson      JSON as it is in the log, a line each
//	ingest/stream/…/<HH>-<mm>-<ss>-<uuid>.cbor                                        XML, a map for each record; either with .gz where it is packed
//	ingest/receipts/…/<HH>-<mm>-<ss>-<uuid>.ndjson                                    which request brought how many records, and when
//	ingest/unparsable/…/<HH>-<mm>-<ss>-<uuid>.ndjson                                  payloads that could not be read, whole, with the reason
//
// The payloads are committed last: who sees a landed file sees its receipts. A payload is in exactly one of the first and the last. What a
// crash can leave is the same as for one object; a part that is there already is read past by the repeat.
//
// # Which S3 client
//
// minio-go, by its Core. Measured beside gocloud.dev/blob/s3blob (the AWS SDK) against versitygw, 200 MB in parts of 8 MiB: 24 MB of memory
// instead of 60, 11 MB of program instead of 31, 19 modules instead of 40; both send conditions and both are well kept. minio-go's own
// PutObject forgets the condition when it completes a multipart upload and writes over what is there (checked), so the parts are sent
// here: that also settles how much memory an upload takes.
//
// # Which Cloud Storage client
//
// Its JSON API over net/http, with the tokens of golang.org/x/oauth2/jwt, which is one module. Google's own client brings 47 into the
// program, gRPC and OpenTelemetry among them, for five kinds of requests; it is what fake-gcs-server, which the tests hold ours to, is
// written for.
//
// # Keys
//
// An exporter of keys plans, uploads and commits as the others do. Its object has each key once that an event of the window was sealed
// under: a key serves a day, and comes again in every window that uses it, the same each time, so that whoever reads the files keeps a
// table by key link. No window depends on what was exported before. A forgotten person's key is in no object made later; the files that
// have it open what they opened.
package export
