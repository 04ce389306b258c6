-- +goose Up

-- What exactly differs, whichever period it was found in.
ALTER TABLE breaks ADD COLUMN difference TEXT NOT NULL DEFAULT '';
CREATE INDEX breaks_difference ON breaks (difference) WHERE difference <> '';
CREATE INDEX breaks_source_ref ON breaks (source_ref) WHERE source_ref <> '';
CREATE INDEX breaks_books_ref ON breaks (books_ref) WHERE books_ref <> '';

-- The differences that persons accepted: who and why.
CREATE TABLE accepted (
    difference TEXT   NOT NULL PRIMARY KEY,
    actor      TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    at         BIGINT NOT NULL
);
