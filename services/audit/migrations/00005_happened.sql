-- +goose Up

-- The order in which things happened; within a stream its numbers decide.
CREATE INDEX entry_happened ON entry (at, stream, incarnation, seq);
