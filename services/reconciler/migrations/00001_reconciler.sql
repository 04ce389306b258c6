-- +goose Up

-- What we believe: the newest state of each document, as its op was settled.
CREATE TABLE journal (
    target     TEXT   NOT NULL,
    source_ref TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    part       TEXT   NOT NULL,
    n          BIGINT NOT NULL,
    other_ref  TEXT   NOT NULL,
    number     TEXT   NOT NULL,
    status     TEXT   NOT NULL,
    currency   TEXT   NOT NULL,
    net        BIGINT NOT NULL,
    tax        BIGINT NOT NULL,
    gross      BIGINT NOT NULL,
    issue_date TEXT   NOT NULL,
    entity     TEXT   NOT NULL,
    op_id      TEXT   NOT NULL,
    settled_at BIGINT NOT NULL,
    PRIMARY KEY (target, source_ref, kind, part, n)
);

-- Every comparison, and what it found.
CREATE TABLE run (
    run        TEXT   NOT NULL PRIMARY KEY,
    entity     TEXT   NOT NULL,
    period     TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0,
    detail     TEXT   NOT NULL DEFAULT ''
);
CREATE TABLE breaks (
    id         TEXT   NOT NULL PRIMARY KEY,
    run        TEXT   NOT NULL,
    entity     TEXT   NOT NULL,
    target     TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    cause      TEXT   NOT NULL,
    source_ref TEXT   NOT NULL,
    books_ref  TEXT   NOT NULL,
    amount     BIGINT NOT NULL,
    currency   TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    seen_at    BIGINT NOT NULL
);
CREATE INDEX breaks_run ON breaks (run);
