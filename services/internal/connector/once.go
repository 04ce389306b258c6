package connector

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// NewRequest makes a request that net/http does not send twice. When a connection
// breaks it repeats by itself a GET without a body, and any request whose body it
// can rewind: uncounted, and at the vendor perhaps done already. So no body can be
// rewound, and a GET has one of unknown length, which is sent as none.
func NewRequest(ctx context.Context, method, address string, body []byte) (*http.Request, error) {
	var once io.Reader
	if len(body) > 0 || method == http.MethodGet {
		once = struct{ io.Reader }{bytes.NewReader(body)}
	}
	req, err := http.NewRequestWithContext(ctx, method, address, once)
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body))
	return req, nil
}
