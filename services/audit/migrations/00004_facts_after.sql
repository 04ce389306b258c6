-- +goose Up

-- A service whose database was set back asks for its facts about documents.
CREATE INDEX entry_document ON entry (stream, incarnation, seq) WHERE other_ref <> '';
