-- +goose Up
-- Each revision of a record names all that it was ever merged from.
CREATE INDEX alias_survivor ON alias (survivor);
