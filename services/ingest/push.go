package ingest

import (
	"context"
	"crypto/subtle"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
	"time"

	"tieout.dev/services/ingest/admission"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

//go:embed openapi.yaml
var openapi []byte

// pushAnswer is what became of one pushed record.
type pushAnswer struct {
	EventIDs  []string `json:"event_ids"`
	Revision  int64    `json:"revision"`
	Duplicate bool     `json:"duplicate"`
}

// api adds the routes of the HTTP API.
func (in *Ingest) api(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/events", in.authorized(in.push))
	mux.HandleFunc("GET /v1/events/{id}", in.authorized(in.pushedEvent))
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		refusal(http.StatusNotFound, "there is no such call", "%s %s: POST /v1/events and GET /v1/events/{id} are; /openapi.yaml describes them", r.Method, r.URL.Path).write(w)
	})
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openapi) // the caller is gone; nobody is left to be told
	})
}

func (in *Ingest) authorized(next func(*http.Request) (int, any, *problem)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if in.deps.APIKey == "" || !ok || subtle.ConstantTimeCompare([]byte(key), []byte(in.deps.APIKey)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refusal(http.StatusUnauthorized, "the key is missing or wrong", "send Authorization: Bearer KEY; nothing was admitted").write(w)
			return
		}
		status, answer, why := next(r)
		if why != nil {
			why.write(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer) // the caller is gone; it asks again under its key
	}
}

// push admits what a caller hands over, all of it or none, before it answers.
func (in *Ingest) push(r *http.Request) (int, any, *problem) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return 0, nil, refusal(http.StatusUnsupportedMediaType, "wrong content type", "send application/json, not %.80q", r.Header.Get("Content-Type"))
	}
	body, err := readBody(r, maxPush)
	switch {
	case errors.Is(err, errTooLarge):
		return 0, nil, refusal(http.StatusRequestEntityTooLarge, "the body is too large", "%d bytes is the most; send fewer records at once", maxPush)
	case err != nil:
		return 0, nil, refusal(http.StatusBadRequest, "the body was not read", "%v", err)
	}
	items, why := in.decodePush(body)
	if why != nil {
		return 0, nil, why
	}
	key := r.Header.Get("Idempotency-Key")
	if len(key) > 200 || !plain(key) {
		return 0, nil, refusal(http.StatusBadRequest, "the key cannot be taken", "an Idempotency-Key has at most 200 bytes, of UTF-8 and without control characters; nothing was admitted")
	}
	crash.At(crash.IngestPushReceived)
	answers, why := in.admitPushed(r.Context(), items, key, event.Digest("push/v1", string(body)))
	if why != nil {
		return 0, nil, why
	}
	crash.At(crash.IngestPushAdmitted)
	return http.StatusAccepted, map[string]any{"items": answers}, nil
}

// answerLife is how long Redis remembers that a key was answered.
const answerLife = 24 * time.Hour

// answerKey is where Redis remembers a key of a connection.
func answerKey(connection, key string) string {
	return "push:" + event.Digest("push key/v1", connection, key)
}

// repeated is the answer that was given under a key, nil if it is to be found
// out. Redis knows only whether it pays to look before a transaction begins:
// the answer itself, and whether there is one, is what the database says.
// Otherwise a Redis that outlived a restored database, or that was written to
// by somebody, would acknowledge records that nobody has.
func (in *Ingest) repeated(ctx context.Context, connection, key, hash string) (known []pushAnswer, err error) {
	if k := answerKey(connection, key); key == "" || !in.memory().seen(ctx, k)[k] {
		return nil, nil
	}
	err = in.deps.DB.Read(ctx, func(tx *store.Tx) error {
		known, err = keyed(tx, connection, key, hash)
		return err
	})
	return known, err
}

// admitPushed admits in one transaction, with the key's answer: a repeat is
// answered as the first one was, and the same key with another body is refused.
func (in *Ingest) admitPushed(ctx context.Context, items []pushed, key, hash string) ([]pushAnswer, *problem) {
	connection := items[0].source.config.ID
	answers, err := in.repeated(ctx, connection, key, hash)
	if err == nil && answers == nil {
		if answers, err = in.admitAll(ctx, items, key, hash); err == nil && key != "" {
			in.memory().remember(ctx, answerLife, answerKey(connection, key))
		}
	}
	var why *problem
	switch {
	case errors.As(err, &why):
		return nil, why
	case err != nil:
		in.deps.Log.ErrorContext(ctx, "pushed records were not admitted", "error", err)
		return nil, unavailable(err)
	}
	return answers, nil
}

func (in *Ingest) admitAll(ctx context.Context, items []pushed, key, hash string) (answers []pushAnswer, err error) {
	no, incarnation, err := in.nextRead(ctx)
	if err != nil {
		return nil, err
	}
	err = in.deps.DB.Write(ctx, func(tx *store.Tx) error {
		if err := in.sameBook(tx, incarnation); err != nil {
			return err
		}
		known, err := keyed(tx, items[0].source.config.ID, key, hash)
		if err != nil || known != nil {
			answers = known
			return err
		}
		answers = make([]pushAnswer, 0, len(items))
		for i := range items {
			a, err := in.admitOne(ctx, tx, &items[i], no)
			if err != nil {
				return err
			}
			answers = append(answers, a)
		}
		return rememberKey(tx, items[0].source.config.ID, key, hash, answers)
	})
	in.relay.Wake()
	in.facts.Wake()
	return answers, err
}

func unavailable(err error) *problem {
	return refusal(http.StatusServiceUnavailable, "not admitted", "%snothing of the request was admitted; send it again, under the same Idempotency-Key", because(err))
}

// because says why nothing could be stored, where the caller may know it.
func because(err error) string {
	if cause := store.Cause(err); cause != "" {
		return cause + ": "
	}
	return ""
}

func (in *Ingest) admitOne(ctx context.Context, tx *store.Tx, p *pushed, no int64) (pushAnswer, error) {
	before, err := loadObject(tx, p.record.Ref)
	if err != nil {
		return pushAnswer{}, err
	}
	floor, err := floorOf(tx)
	if err != nil {
		return pushAnswer{}, err
	}
	if err := p.acquaint(tx); err != nil {
		return pushAnswer{}, err
	}
	h := hint{Ref: p.record.Ref, Cause: event.Push, Class: event.Realtime, Deferred: deferMost, Trace: traceParent(ctx)}
	again, err := in.admitRecord(ctx, tx, p.source, h, admission.Read{No: no, Record: p.record, Cause: event.Push, Pushed: true, Floor: floor})
	if err != nil {
		return pushAnswer{}, err
	}
	if again {
		return pushAnswer{}, errors.New("the record was read anew meanwhile")
	}
	after, err := loadObject(tx, p.record.Ref)
	if err != nil {
		return pushAnswer{}, err
	}
	out := pushAnswer{Revision: after.Rev, Duplicate: after.Rev == before.Rev, EventIDs: []string{}}
	found, err := events(tx, `WHERE ref = $1 AND rev = $2 ORDER BY route, slot_no`, p.record.Ref.String(), after.Rev)
	for _, e := range found {
		out.EventIDs = append(out.EventIDs, e.GetEventId())
	}
	return out, err
}

// keyed is the answer that was given under a key, nil if none was.
func keyed(tx *store.Tx, connection, key, hash string) ([]pushAnswer, error) {
	if key == "" {
		return nil, nil
	}
	var stored, answer string
	err := tx.QueryRow(`SELECT body_hash, answer FROM push_key WHERE connection = $1 AND key = $2`, connection, key).Scan(&stored, &answer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case stored != hash:
		return nil, refusal(http.StatusUnprocessableEntity, "the key was used with another body", "send another Idempotency-Key for another request; nothing was admitted")
	}
	var out []pushAnswer
	return out, json.Unmarshal([]byte(answer), &out)
}

func rememberKey(tx *store.Tx, connection, key, hash string, answers []pushAnswer) error {
	if key == "" {
		return nil
	}
	b, err := json.Marshal(answers)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO push_key (connection, key, body_hash, answer, at) VALUES ($1, $2, $3, $4, $5)`, connection, key, hash, string(b), tx.Now())
	return err
}

// eventState is how an event ended, for the caller who pushed it.
type eventState struct {
	EventID    string  `json:"event_id"`
	State      string  `json:"state"`
	Outcome    string  `json:"outcome"`
	Exception  *parked `json:"exception"`
	Ref        string  `json:"ref"`
	Revision   int64   `json:"revision"`
	Route      string  `json:"route"`
	Lane       string  `json:"lane"`
	Seq        int64   `json:"seq"`
	AdmittedAt string  `json:"admitted_at"`
	EndedAt    string  `json:"ended_at"`
}

func (in *Ingest) pushedEvent(r *http.Request) (int, any, *problem) {
	var out *eventState
	id := r.PathValue("id")
	if !plain(id) {
		return 0, nil, noEvent(id)
	}
	err := in.deps.DB.Read(r.Context(), func(tx *store.Tx) error {
		found, err := events(tx, `WHERE event_id = $1`, id)
		if err != nil || len(found) == 0 {
			return err
		}
		e := found[0]
		out = &eventState{
			EventID: e.GetEventId(), State: "open", Outcome: e.GetOutcome(), Ref: e.GetRef(), Revision: e.GetRev(), Route: e.GetRoute(), Lane: e.GetLane(), Seq: e.GetSeq(),
			AdmittedAt: e.GetAdmittedAt().AsTime().UTC().Format(apiTime),
		}
		if e.GetEndedAt() != nil {
			out.State, out.EndedAt = "ended", e.GetEndedAt().AsTime().UTC().Format(apiTime)
			return nil
		}
		if out.Exception, err = parkedOn(tx, id); out.Exception != nil {
			out.State = "parked"
		}
		return err
	})
	switch {
	case err != nil:
		return 0, nil, unavailable(err)
	case out == nil:
		return 0, nil, noEvent(id)
	}
	return http.StatusOK, out, nil
}

func noEvent(id string) *problem {
	return refusal(http.StatusNotFound, "there is no such event", "no event has the id %.80q", id)
}

// apiTime is RFC 3339, UTC, with milliseconds.
const apiTime = "2006-01-02T15:04:05.000Z"
