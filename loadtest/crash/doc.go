// Package crash holds a real sluice, built and run as a process, to its promises from the outside: what
// it acknowledged survives kill -9 once and in order, webhooks go on where they were, payloads land in one file each and come to one row each, a reader that stops costs no memory and loses
// nothing, a forgotten person stays forgotten, and bad input leaves no trace. It is tests alone, under
// the build tag `parts`, for they take seconds each and minutes in full length:
//
//	go test -tags parts ./loadtest/crash             scaled to seconds
//	LOADTEST_FULL=1 go test -tags parts -timeout 20m ./loadtest/crash
//
// LOADTEST_BINARY names a sluice to test instead of building one, for instance one that was broken on
// purpose to see a test fail.
//
// kill -9 shows that nothing acknowledged waits in the process's memory. It does not show that it was
// fsynced, for the kernel outlives the process.
package crash
