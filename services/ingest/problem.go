package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// problem is an error as RFC 9457 has it.
type problem struct {
	Type   string      `json:"type"`
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Detail string      `json:"detail"`
	Errors []itemError `json:"errors,omitempty"`
}

// itemError says what is wrong with one item of a request.
type itemError struct {
	Item   int    `json:"item"`
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// Error is the detail.
func (p *problem) Error() string { return p.Detail }

func refusal(status int, title, format string, args ...any) *problem {
	return &problem{Type: "about:blank", Title: title, Status: status, Detail: fmt.Sprintf(format, args...)}
}

// wrong is a problem with one item; nothing of the request is admitted then.
func wrong(item int, field, format string, args ...any) *problem {
	p := refusal(http.StatusBadRequest, "an item cannot be taken", "item %d, %s: nothing of the request was admitted; correct it and send all of it again", item, field)
	p.Errors = []itemError{{item, field, fmt.Sprintf(format, args...)}}
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller is gone; nobody is left to be told
}
