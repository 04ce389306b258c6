package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sendWithin bounds one delivery.
const sendWithin = 15 * time.Second

// Webhook posts messages as JSON, signed as the Standard Webhooks
// specification has it: HMAC-SHA256 over id, time and body.
type Webhook struct {
	URL string
	// Secret is base64, with or without the prefix "whsec_"; "" signs nothing.
	Secret string
	Client *http.Client // nil: the default one
	Now    func() time.Time
}

// Name of the channel.
func (w Webhook) Name() string { return "webhook" }

// Send posts a message; every answer but a 2xx is an error.
func (w Webhook) Send(ctx context.Context, m Message) error {
	ctx, stop := context.WithTimeout(ctx, sendWithin)
	defer stop()
	body, err := json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      Message   `json:"data"`
	}{"exceptions.opened", m.Oldest.UTC(), m})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("notification webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if err := w.sign(req.Header, m.ID, body); err != nil {
		return err
	}
	client := w.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("notification webhook: %w", err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 200))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("notification webhook answered %s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

func (w Webhook) sign(h http.Header, id string, body []byte) error {
	at := strconv.FormatInt(w.Now().Unix(), 10)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", at)
	if w.Secret == "" {
		return nil
	}
	key, err := Key(w.Secret)
	if err != nil {
		return err
	}
	h.Set("webhook-signature", Sign(key, id, at, body))
	return nil
}

// Sign is the signature that a receiver compares.
func Sign(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Key reads a signing secret.
func Key(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 {
		return nil, fmt.Errorf("the secret of the notification webhook must be base64 of at least 24 bytes, with or without whsec_; make one with: openssl rand -base64 32")
	}
	return key, nil
}
