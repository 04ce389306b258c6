-- +goose Up
-- The last read that had started when a record was found merged away: what an older
-- one brought may still name it.
ALTER TABLE alias ADD COLUMN read_no BIGINT NOT NULL DEFAULT 0;
