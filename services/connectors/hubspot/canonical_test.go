package hubspot

import (
	"errors"
	"strings"
	"testing"
)

// The strings and the order are those of RFC 8785 sections 3.2.2 and 3.2.3.
func TestCanonicalIsRFC8785(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":[true,null,""],"a":12.50}`:                                              `{"a":"12.50","b":[true,null,""]}`,
		`"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"`:                             `"€$\u000f\nA'B\"\\\\\"/"`,
		`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}`: "{\"\\r\":\"2\",\"1\":\"4\",\"\u0080\":\"6\",\"ö\":\"7\",\"€\":\"1\",\"😀\":\"5\",\"\ufb33\":\"3\"}",
		`"\u2028<&>\u007f"`: "\"\u2028<&>\u007f\"",
	} {
		v, err := parse([]byte(in))
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		if got := string(canonical(v)); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestParseRefusesWhatReadsTwoWays(t *testing.T) {
	if _, err := parse([]byte(`{"a":{"b":1,"b":2}}`)); !errors.Is(err, errDuplicateKey) {
		t.Errorf("duplicate key: %v", err)
	}
	for _, bad := range []string{`{} {}`, `{"a":1`, "\"\xff\"", strings.Repeat("[", 100) + strings.Repeat("]", 100), ``} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%.20q was read", bad)
		}
	}
	for _, cut := range []string{``, `{"a":1`, `{"a"`, `[1,`, `"a`} {
		if _, err := parse([]byte(cut)); !errors.Is(err, errCutOff) {
			t.Errorf("%q: %v does not say that it was cut off", cut, err)
		}
	}
}
