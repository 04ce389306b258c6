-- +goose Up

-- Why an action changed nothing; empty: it did, or has not been looked at yet.
ALTER TABLE command ADD COLUMN refused TEXT NOT NULL DEFAULT '';
CREATE INDEX command_refused ON command (exception, created_at) WHERE refused <> '';
