// Package arch is the layer and size rules of this module, as a test: they
// hold for everybody who can run the tests, whatever tools they have.
package arch
