package exception

import "testing"

func TestEveryKindHasHelp(t *testing.T) {
	for _, k := range Kinds() {
		if h := HelpFor(k); h.Owner == "" || h.Fix == "" {
			t.Errorf("exception kind %s names no owner or no fix", k)
		}
	}
	if HelpFor("other") != (Help{}) {
		t.Error("a kind that is not on the list has help")
	}
}
