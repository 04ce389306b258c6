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

-- What was said about a grant that ends: one row while it does.
CREATE TABLE grant_alarm (
    connection TEXT   NOT NULL PRIMARY KEY,
    days       BIGINT NOT NULL,
    exception  TEXT   NOT NULL
);
