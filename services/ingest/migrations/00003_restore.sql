-- +goose Up

-- What revisions go on above, 0 unless this database was set back; and whether
-- it was and does not know yet which numbers the writer holds.
ALTER TABLE book ADD COLUMN floor BIGINT NOT NULL DEFAULT 0;
ALTER TABLE book ADD COLUMN lifting BIGINT NOT NULL DEFAULT 0;
