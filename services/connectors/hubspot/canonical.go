package hubspot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// depthMax bounds how deep an answer may nest.
const depthMax = 32

var (
	errDuplicateKey = errors.New("duplicate key")
	errCutOff       = errors.New("the JSON ends before it is complete")
)

// parse reads one JSON value and refuses what could be read in two ways:
// duplicate keys, text after the value, broken UTF-8. Numbers stay as written.
func parse(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := value(d, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errCutOff
	}
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the JSON value")
	}
	return v, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	if depth > depthMax {
		return nil, errors.New("nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return members(d, depth)
	case json.Delim('['):
		out := []any{}
		for d.More() {
			v, err := value(d, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		_, err := d.Token()
		return out, err
	}
	return t, nil
}

func members(d *json.Decoder, depth int) (any, error) {
	out := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string)
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%w %q", errDuplicateKey, key)
		}
		if out[key], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return out, err
}

// decode parses strictly and then fills a value of ours.
func decode(raw []byte, into any) error {
	if _, err := parse(raw); err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// canonical writes a value as RFC 8785 does, numbers as decimal strings.
func canonical(v any) []byte { return appendCanonical(nil, v) }

func appendCanonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return appendString(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCanonical(b, e)
		}
		return append(b, ']')
	case map[string]any:
		return appendObject(b, v)
	}
	return appendString(b, fmt.Sprint(v)) // json.Number
}

func appendObject(b []byte, m map[string]any) []byte {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	// RFC 8785 section 3.2.3: by UTF-16 code units
	slices.SortFunc(keys, func(x, y string) int { return slices.Compare(utf16.Encode([]rune(x)), utf16.Encode([]rune(y))) })
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		b = appendCanonical(b, m[k])
	}
	return append(b, '}')
}

// appendString escapes what RFC 8785 section 3.2.2.2 escapes and nothing else.
func appendString(b []byte, s string) []byte {
	const short = "\b\t\n\f\r\"\\"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r < utf8.RuneSelf && bytes.ContainsRune([]byte(short), r):
			b = append(b, '\\', "btnfr\"\\"[bytes.IndexRune([]byte(short), r)])
		case r < 0x20:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
