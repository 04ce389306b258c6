package ingest

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// drainMost is how much of a body that is too large is read and thrown away:
// many callers read the answer only after they have sent all of it, and see a
// reset connection instead if it is closed before.
const drainMost = 64 << 20

// readBody reads a body of at most so many bytes; errTooLarge, once the rest is
// out of the way, where it has more.
func readBody(r *http.Request, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil || int64(len(body)) <= most {
		return body, err
	}
	_, _ = io.CopyN(io.Discard, r.Body, drainMost) // the answer is the same, however it ends
	return nil, errTooLarge
}

var errTooLarge = errors.New("the body is too large")

// wellFormed reports what Go's JSON decoder would replace without a word: bytes
// that are no UTF-8, and halves of a UTF-16 pair.
func wellFormed(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("it is not valid UTF-8")
	}
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		r := escaped(body[i:])
		switch {
		case r < 0:
			i++ // whatever is escaped, it is one byte
		case !utf16.IsSurrogate(r):
			i += 5
		case utf16.DecodeRune(r, escaped(body[i+6:])) == unicode.ReplacementChar:
			return errors.New(`it has \u` + string(body[i+2:i+6]) + ", which is half of a pair and no character")
		default:
			i += 11
		}
	}
	return nil
}

// escaped is the \uXXXX that a text begins with, -1 if it begins otherwise.
func escaped(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// plain reports whether a text can be a name or an id: UTF-8 on one line,
// without characters that no database or log would take.
func plain(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}
