-- +goose Up

-- Events that do not decode and name no place; what their lane lacks is
-- published again by ingest.
CREATE TABLE unreadable (
    topic     TEXT   NOT NULL,
    part      BIGINT NOT NULL,
    at_offset BIGINT NOT NULL,
    body      BYTEA  NOT NULL,
    cause     TEXT   NOT NULL,
    seen_at   BIGINT NOT NULL,
    PRIMARY KEY (topic, part, at_offset)
);
