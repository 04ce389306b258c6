//go:build !crashpoints

package crash

// Compiled tells whether this program can be made to die.
const Compiled = false

// At does nothing in this program.
func At(Point) {}
