-- +goose Up

-- Whether the record was something to be booked when it was last admitted: as
-- long as it still is, it goes to a route on the terms that it went on then.
ALTER TABLE object ADD COLUMN qualified BIGINT NOT NULL DEFAULT 0;

-- The books in which a person asks for the record's documents, whatever the
-- cut-off; more than one are separated by spaces.
ALTER TABLE hint ADD COLUMN wanted TEXT NOT NULL DEFAULT '';
