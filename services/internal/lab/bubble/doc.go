// Package bubble tests the whole system in virtual time: the five services as
// five processes, three brokers, their databases and both vendors' sandboxes,
// all in one testing/synctest bubble. An hour of waiting passes at once, so an
// outage of two hours, a token that ends after one and a day behind an
// exception are ordinary tests.
//
// Scenarios are scripts, testdata/*.txtar; TestRandom plays as many more as it
// is told, each from a seed. There is nothing here but tests.
package bubble
