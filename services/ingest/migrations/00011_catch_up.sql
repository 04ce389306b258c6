-- +goose Up

-- What is read again since the database was set back: the poll of each connection that had
-- begun by then, and the last read that had started when a later one was complete (-1: none is).
CREATE TABLE catch_up (
    connection TEXT   NOT NULL PRIMARY KEY,
    poll       BIGINT NOT NULL,
    since      BIGINT NOT NULL,
    listed     BIGINT NOT NULL DEFAULT -1
);

-- The last read that had started when the record was first asked for.
ALTER TABLE hint ADD COLUMN asked_no BIGINT NOT NULL DEFAULT 0;
