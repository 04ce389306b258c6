-- +goose Up

-- The polls of a connection, counted across all replicas.
CREATE TABLE poll (
    connection TEXT   NOT NULL PRIMARY KEY,
    started    BIGINT NOT NULL,
    completed  BIGINT NOT NULL DEFAULT 0,
    error      TEXT   NOT NULL DEFAULT ''
);
