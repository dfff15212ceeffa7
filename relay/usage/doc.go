// Package usage counts the events that each stream took, for the limit of a month and for whoever asks how many came when.
// It hides how counts survive a crash exactly, how nodes share them, and how little of them is kept.
//
// # Where a count comes from
//
// Not from requests but from the log: a node counts the blocks it has stored (engine.OnStored), which is what was
// acknowledged and what may have been, each event once. Every second it writes the counts that moved, each stream's with
// the sequence of the last block in them. A node that was killed reads its own blocks behind these sequences when it
// starts, so that it loses and doubles nothing. What retention takes from the log stays counted.
//
// # Cells
//
// All names are hexadecimal; nodes never write each other's cells.
//
//	usage.now.<stream>.<node>             the sequence, the month and its total, the hour and its minutes
//	usage.day.<stream>.<yyyymmdd>.<node>  the minutes of a day's hours that are over
//	usage.at.<node>                       for each shard the sequence that all of the node's cells have reached
//
// When an hour is over its minutes move from the first cell to the second, in one batch. A day's cell has at most 1,440
// pairs of a minute and a count, some 5 KB, and goes after KeepDays.
//
// # Several nodes
//
// Each watches the others' usage.now cells, so its totals of a month are as old as their last write, a second. Together
// they may so take about what comes in a second more than the limit of a month allows; one node alone is exact.
package usage
