// Package golden holds a running gateway to sluice/loadtest/oracle: the events of testdata, and events and contracts made up from a seed,
// go through the real program over HTTP, in every form and with every kind of consent, and what each stream, file and exported key then
// shows is compared with what the oracle says.
//
//	go test ./loadtest/golden                                        a few seconds
//	LOADTEST_FULL=1 go test -timeout 20m ./loadtest/golden            many more made-up contracts
package golden
