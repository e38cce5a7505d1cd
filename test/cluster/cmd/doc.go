// Command cmd runs a cluster outside of tests: for a demo, or to try things
// with kubectl.
//
//	go run ./test/cluster/cmd up       # in the background, until down
//	go run ./test/cluster/cmd down
package main
