-- +goose Up

CREATE INDEX entry_taken ON entry (taken_at, event_id);
CREATE INDEX entry_trace ON entry (trace_id, at) WHERE trace_id <> '';
CREATE INDEX entry_number ON entry (number, at) WHERE number <> '';
