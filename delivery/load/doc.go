// Package load takes landed files into tables. It hides how the files of a day become rows, what makes a repeated run change nothing, and
// what is left of a run that was killed.
//
// # A run
//
// A courier is asked to run for a day, by hand or by its group's schedule. Its owner lists the landed files of that day and goes through
// them in order; each file is loaded into each feed that the courier names in one transaction, together with the note that this run has
// done so. A run that was killed reads those notes and goes on behind them, a run that is repeated writes the same rows again.
//
// A feed is a table of the project's SQLite database. Rows are put in by primary key, and a row of an older event never replaces one of
// a newer, so the order in which days are loaded does not matter. With the operation truncate a run fills a second table and puts its rows
// in place of the first one's in one transaction at its end: nobody ever sees a half of it.
//
// # Tables
//
// Beside a feed's columns a table has _received_at (RFC 3339, UTC, milliseconds) and _request_id, of the request that brought the row. What
// does not fit goes to <table>_failed with the reason, the record and the same two columns; it leaves when its file is loaded again
// and it fits. Strings are TEXT, whole numbers of up to 64 bits INTEGER, other numbers REAL (TEXT where 64 bits do not hold one), true and
// false 1 and 0, objects and arrays their JSON as TEXT, null and what is not there NULL.
//
// The database is <data>/feeds/<project>.sqlite, open while a run writes to it: between two runs the one file is the whole of it, to be copied
// or taken away. Others may read it at any time; who locks it is waited for. In a cluster each
// node has tables of its own: they lie where the courier is owned, and a node that takes a courier over begins with none. Load the days that
// are wanted there again.
//
// # Which SQLite
//
// modernc.org/sqlite: the original translated to Go, so that the program stays one binary that builds without a C compiler. It follows the
// releases of SQLite within weeks.
package load
