package sandbox

import (
	"strings"
	"testing"
)

// A preset that is not in force yet is said, until a reset brings it.
func TestAPresetHoldsFromTheNextResetOn(t *testing.T) {
	b := open(t, Config{Preset: "IE"})
	if said := b.control("settings", `{"preset":"US"}`); !strings.Contains(said, "until then the world is IE") {
		t.Errorf("the answer is %s", said)
	}
	b.control("reset", "")
	if said := b.control("settings", `{}`); strings.Contains(said, "note") {
		t.Errorf("after the reset it says %s", said)
	}
}

// An invoice that is not there is not mailed.
func TestSendNeedsAnInvoice(t *testing.T) {
	b := open(t, Config{Preset: "IE"})
	b.refused("610", "/invoice/999999/send", "")
}
