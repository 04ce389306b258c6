package sandbox

import (
	"slices"
	"strconv"
	"strings"
)

// maxResults bounds a page of a query.
const maxResults = 1000

// query is one parsed statement of the vendor's query language.
type query struct {
	count   bool
	columns []string // nil: all
	entity  string
	where   []condition
	order   []ordering
	start   int
	max     int
}

// condition is one comparison; they are joined by and.
type condition struct {
	field  string
	op     string // = < > <= >= in like
	values []string
}

type ordering struct {
	field string
	desc  bool
}

// token is a word, a quoted string or a sign.
type token struct {
	text   string
	quoted bool
}

// parser walks the tokens; the first error stays.
type parser struct {
	tokens []token
	at     int
	err    error
}

// parseQuery reads a statement.
func parseQuery(src string) (query, error) {
	p := &parser{}
	p.tokens, p.err = tokens(src)
	q := query{start: 1, max: 100}
	p.expect("select")
	p.columns(&q)
	p.expect("from")
	q.entity = p.next().text
	if p.keyword("where") {
		q.where = append(q.where, p.condition())
		for p.keyword("and") {
			q.where = append(q.where, p.condition())
		}
	}
	if p.keyword("orderby") || p.keyword("order") && p.expect("by") {
		q.order = append(q.order, p.ordering())
		for p.keyword(",") {
			q.order = append(q.order, p.ordering())
		}
	}
	if p.keyword("startposition") {
		q.start = max(p.number(), 1)
	}
	if p.keyword("maxresults") {
		q.max = p.number()
	}
	if t := p.peek(); p.err == nil && t.text != "" {
		p.err = badQuery("Encountered %q", t.text)
	}
	if p.err == nil && q.max > maxResults {
		p.err = refusedQuery("value %d is too large. Max allowed value is %d.", q.max, maxResults)
	}
	return q, p.err
}

func (p *parser) columns(q *query) {
	switch {
	case p.keyword("*"):
	case p.keyword("count"):
		p.expect("(")
		p.expect("*")
		p.expect(")")
		q.count = true
	default:
		q.columns = append(q.columns, p.next().text)
		for p.keyword(",") {
			q.columns = append(q.columns, p.next().text)
		}
	}
}

func (p *parser) condition() condition {
	c := condition{field: p.next().text, op: strings.ToLower(p.next().text)}
	switch c.op {
	case "in":
		p.expect("(")
		c.values = append(c.values, p.next().text)
		for p.keyword(",") {
			c.values = append(c.values, p.next().text)
		}
		p.expect(")")
	case "=", "<", ">", "<=", ">=", "like":
		c.values = []string{p.next().text}
	default:
		p.fail("Encountered %q", c.op)
	}
	return c
}

func (p *parser) ordering() ordering {
	o := ordering{field: p.next().text}
	if p.keyword("desc") {
		o.desc = true
	} else {
		p.keyword("asc")
	}
	return o
}

func (p *parser) number() int {
	t := p.next()
	n, err := strconv.Atoi(t.text)
	if err != nil || n < 0 {
		p.fail("Encountered %q where a number was expected", t.text)
	}
	return n
}

func (p *parser) fail(format string, a ...any) {
	if p.err == nil {
		p.err = badQuery(format, a...)
	}
}

func (p *parser) peek() token {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return token{}
}

func (p *parser) next() token {
	t := p.peek()
	if p.at >= len(p.tokens) {
		p.fail("Encountered the end of the query")
	}
	p.at++
	return t
}

// keyword takes the next token if it is this word.
func (p *parser) keyword(word string) bool {
	t := p.peek()
	if t.quoted || !strings.EqualFold(t.text, word) {
		return false
	}
	p.at++
	return true
}

func (p *parser) expect(word string) bool {
	if p.keyword(word) {
		return true
	}
	p.fail("Encountered %q where %q was expected", p.peek().text, word)
	return false
}

// tokens splits a statement; a quote inside a string is written \'.
func tokens(src string) ([]token, error) {
	var out []token
	for i := 0; i < len(src); {
		c := src[i]
		switch {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '\'':
			text, n, ok := quoted(src[i+1:])
			if !ok {
				return nil, badQuery("a quoted value does not end")
			}
			out = append(out, token{text, true})
			i += n + 1
		case strings.IndexByte("(),*", c) >= 0:
			out = append(out, token{text: src[i : i+1]})
			i++
		case strings.IndexByte("<>=!", c) >= 0:
			n := 1
			if i+1 < len(src) && src[i+1] == '=' {
				n = 2
			}
			out = append(out, token{text: src[i : i+n]})
			i += n
		default:
			n := strings.IndexAny(src[i:], " \t\r\n'(),*<>=!")
			if n < 0 {
				n = len(src) - i
			}
			out = append(out, token{text: src[i : i+n]})
			i += n
		}
	}
	return out, nil
}

// quoted reads up to the closing quote and says how many bytes that took.
func quoted(src string) (string, int, bool) {
	var b strings.Builder
	for i := 0; i < len(src); i++ {
		switch {
		case src[i] == '\\' && i+1 < len(src):
			i++
			b.WriteByte(src[i])
		case src[i] == '\'':
			return b.String(), i + 1, true
		default:
			b.WriteByte(src[i])
		}
	}
	return "", 0, false
}

// asks says whether a statement has a condition on the field.
func (q query) asks(field string) bool {
	return slices.ContainsFunc(q.where, func(c condition) bool { return c.field == field })
}
