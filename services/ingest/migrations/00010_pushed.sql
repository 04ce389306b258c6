-- +goose Up
-- A caller handed the record over and no read has found it since: that its source does
-- not know it says nothing.
ALTER TABLE object ADD COLUMN pushed BIGINT NOT NULL DEFAULT 0;
