// Package backup hides what a backup is made of, how it is taken from a node that goes on working, and how a store is made of it
// again.
//
// # What is in it
//
// A backup is a stream of tar, and unpacked a folder of the same files, none larger than a few megabytes:
//
//	manifest.json        format, version, time, number of shards, the node's name
//	cells/000001.jsonl…  the cells, but for keys, a line each: {"key":…,"value":base64}, or {"key":…,"gone":true}
//	log/N/extent.json    first and last sequence of shard N
//	log/N/000001.blocks… its blocks, each as below
//	keys/000001.jsonl…   the key cells, in lines like cells
//	keys/erase.json      the erase key, wrapped by the master key
//	keys/master.key      the master key, only where it was asked for
//	forgotten/000001…    the list of the forgotten, see package consent
//	complete.json        every file before it with length and SHA-256; written last, so that a backup that has it is whole
//
// Lines are applied in their order: a later one replaces an earlier one of its key. A block is, little-endian: length of its
// subject, 4 bytes; length of its data, 4 bytes; sequence, 8 bytes; time in Unix nanoseconds, 8 bytes; subject; data.
//
// # Why in this order
//
// Cells come first, so that no position that a webhook or an exporter has reached lies behind the log that follows: what happens
// between the two is delivered again, not left out. Each shard is read up to where it reached when its turn came, with its
// sequences, for they are what offsets are made of. Keys come last, so that every event has its own; whoever is forgotten while
// the backup is taken is forgotten in it. The erase key is of the same moment as the keys' last line.
//
// A stream that is made while the backup is taken is not in it. One that is deleted meanwhile is in it without its events.
//
// # What a crash leaves
//
// Of a backup that broke off nothing stays, or a folder without complete.json, which Restore refuses. Restore marks its folder
// first, by the file restoring, and takes the mark away last: a node refuses to start on a folder with the mark, and Restore begins
// anew on it. A cluster has no such mark; there what a broken restore has made has to be deleted by hand, and Restore says so.
package backup
