-- +goose Up

-- The open exception of an event that a person must look at, as the trail tells it.
ALTER TABLE event ADD COLUMN exception TEXT NOT NULL DEFAULT '';
ALTER TABLE event ADD COLUMN exception_kind TEXT NOT NULL DEFAULT '';
ALTER TABLE event ADD COLUMN exception_reason TEXT NOT NULL DEFAULT '';
CREATE INDEX event_exception ON event (exception) WHERE exception <> '';
