-- +goose Up
-- Each revision of a record names all that it was ever merged from.
CREATE INDEX alias_survivor ON alias (survivor);
-- What waits for a person is found by the customer that it is of.
CREATE INDEX event_held ON event (lane) WHERE exception <> '';
