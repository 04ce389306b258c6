-- +goose Up

-- What would put a break right, who accepted it and why.
ALTER TABLE breaks ADD COLUMN repair TEXT NOT NULL DEFAULT '';
ALTER TABLE breaks ADD COLUMN period TEXT NOT NULL DEFAULT '';
ALTER TABLE breaks ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE breaks ADD COLUMN reason TEXT NOT NULL DEFAULT '';

-- The report of a run, as it was answered.
ALTER TABLE run ADD COLUMN report TEXT NOT NULL DEFAULT '';
CREATE INDEX run_ended ON run (entity, period, ended_at);

-- Digest of a document's owned fields, as the books confirmed them.
ALTER TABLE journal ADD COLUMN content TEXT NOT NULL DEFAULT '';
