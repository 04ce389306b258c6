-- +goose Up

-- What every service keeps besides its own tables. Types are TEXT, BIGINT and
-- BYTEA only, times are microseconds since 1970 from the program's clock.

-- Facts (and other messages) written with the change they report, sent by the relay.
CREATE TABLE outbox (
    stream       TEXT   NOT NULL,
    seq          BIGINT NOT NULL,
    topic        TEXT   NOT NULL,
    key          TEXT   NOT NULL,
    headers      TEXT   NOT NULL,
    body         BYTEA  NOT NULL,
    created_at   BIGINT NOT NULL,
    published_at BIGINT,
    PRIMARY KEY (stream, seq)
);
CREATE INDEX outbox_unpublished ON outbox (stream, seq) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;

-- The offset that counts: moved by compare-and-swap in the transaction that stores the batch.
CREATE TABLE consumer_offset (
    topic    TEXT   NOT NULL,
    part     BIGINT NOT NULL,
    next     BIGINT NOT NULL,
    topic_id TEXT   NOT NULL,
    PRIMARY KEY (topic, part)
);

-- This service's copy of the registry objects it uses.
CREATE TABLE registry_copy (
    kind TEXT  NOT NULL,
    id   TEXT  NOT NULL,
    hash TEXT  NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (kind, id)
);

-- The numbering of this service's streams of facts. The row '' holds the
-- incarnation that new streams begin with.
CREATE TABLE fact_stream (
    stream      TEXT   NOT NULL PRIMARY KEY,
    incarnation BIGINT NOT NULL,
    last_seq    BIGINT NOT NULL
);

-- Leases by time, for work that is harmless when done twice.
CREATE TABLE lease (
    name        TEXT   NOT NULL PRIMARY KEY,
    owner       TEXT   NOT NULL,
    valid_until BIGINT NOT NULL
);

-- What a person has to decide, or may want to know.
CREATE TABLE exception (
    id            TEXT   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL,
    target        TEXT   NOT NULL DEFAULT '',
    lane          TEXT   NOT NULL DEFAULT '',
    seq           BIGINT NOT NULL DEFAULT 0,
    subject       TEXT   NOT NULL DEFAULT '',
    customer      TEXT   NOT NULL DEFAULT '',
    reason        TEXT   NOT NULL DEFAULT '',
    field         TEXT   NOT NULL DEFAULT '',
    fix           TEXT   NOT NULL DEFAULT '',
    rule          TEXT   NOT NULL DEFAULT '',
    owner         TEXT   NOT NULL DEFAULT '',
    state         TEXT   NOT NULL,
    opened_at     BIGINT NOT NULL,
    waiting_until BIGINT NOT NULL DEFAULT 0,
    vendor_code   TEXT   NOT NULL DEFAULT '',
    vendor_text   TEXT   NOT NULL DEFAULT '',
    trace_id      TEXT   NOT NULL DEFAULT '',
    acted_by      TEXT   NOT NULL DEFAULT '',
    acted_at      BIGINT NOT NULL DEFAULT 0,
    action        TEXT   NOT NULL DEFAULT '',
    note          TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX exception_state ON exception (state, opened_at);

-- The highest fact taken of each consumed stream.
CREATE TABLE inbox_head (
    stream TEXT   NOT NULL PRIMARY KEY,
    seq    BIGINT NOT NULL
);
