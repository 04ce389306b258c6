// Package drill is the list of the faults that Tieout must live through, and of
// the tests that make them happen on purpose. A test that injects a fault says
// so, with how often it did; the page of faults in docs is written from what
// tests say in the source and what they saw when they last ran.
package drill
