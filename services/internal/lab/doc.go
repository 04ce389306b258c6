// Package lab plays the writer's core against a hostile world, by seed: a CRM
// whose people change their minds, a broker that loses, repeats and reorders,
// writers that crash, freeze and thaw as zombies, and books that lose answers,
// answer late, forget keys and are edited by hand. The core is the one that
// runs in production; what surrounds it here is memory and virtual time, so a
// schedule of days takes less than a millisecond and a failing seed replays
// bit for bit.
package lab
