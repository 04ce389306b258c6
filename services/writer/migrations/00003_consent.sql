-- +goose Up
-- A consent that was begun at a vendor: one for each connection. The state is
-- kept as a digest: who reads this table cannot finish somebody's consent.
CREATE TABLE consent (
    connection   TEXT   NOT NULL PRIMARY KEY,
    state        TEXT   NOT NULL,
    redirect_uri TEXT   NOT NULL,
    actor        TEXT   NOT NULL,
    created_at   BIGINT NOT NULL
);
