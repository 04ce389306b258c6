-- +goose Up

-- The search index over the trail: one row a fact, and the fact's own bytes.
CREATE TABLE entry (
    event_id        TEXT   NOT NULL PRIMARY KEY,
    stream          TEXT   NOT NULL,
    incarnation     BIGINT NOT NULL,
    seq             BIGINT NOT NULL,
    type            TEXT   NOT NULL,
    at              BIGINT NOT NULL,
    occurred_at     BIGINT NOT NULL,
    taken_at        BIGINT NOT NULL,
    actor           TEXT   NOT NULL,
    tenant          TEXT   NOT NULL,
    entity          TEXT   NOT NULL,
    target          TEXT   NOT NULL,
    lane            TEXT   NOT NULL,
    slot_seq        BIGINT NOT NULL,
    subject         TEXT   NOT NULL,
    customer        TEXT   NOT NULL,
    rev             BIGINT NOT NULL,
    route           TEXT   NOT NULL,
    outcome         TEXT   NOT NULL,
    detail          TEXT   NOT NULL,
    trace_id        TEXT   NOT NULL,
    source_event_id TEXT   NOT NULL,
    exception       TEXT   NOT NULL,
    other_ref       TEXT   NOT NULL,
    number          TEXT   NOT NULL,
    kind            TEXT   NOT NULL,
    part            TEXT   NOT NULL,
    n               BIGINT NOT NULL,
    status          TEXT   NOT NULL,
    currency        TEXT   NOT NULL,
    net             BIGINT NOT NULL,
    tax             BIGINT NOT NULL,
    gross           BIGINT NOT NULL,
    source_ref      TEXT   NOT NULL,
    customer_ref    TEXT   NOT NULL,
    body            BYTEA  NOT NULL
);
CREATE INDEX entry_subject ON entry (subject, at);
CREATE INDEX entry_customer ON entry (customer, at);
CREATE INDEX entry_source_ref ON entry (source_ref, at) WHERE source_ref <> '';
CREATE INDEX entry_exception ON entry (exception, at) WHERE exception <> '';

-- Which ops a fact is about: a call's fact is about those of several records.
CREATE TABLE entry_op (
    op_id    TEXT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (op_id, event_id)
);
CREATE INDEX entry_op_event ON entry_op (event_id);

-- What a person may type, and which refs are meant: full and short refs,
-- document numbers, marks, events, exceptions, traces.
CREATE TABLE search_key (
    search TEXT NOT NULL,
    ref    TEXT NOT NULL,
    PRIMARY KEY (search, ref)
);

-- The latest state of each document that a fact confirmed.
CREATE TABLE document (
    target      TEXT   NOT NULL,
    source_ref  TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    part        TEXT   NOT NULL,
    n           BIGINT NOT NULL,
    other_ref   TEXT   NOT NULL,
    number      TEXT   NOT NULL,
    status      TEXT   NOT NULL,
    currency    TEXT   NOT NULL,
    net         BIGINT NOT NULL,
    tax         BIGINT NOT NULL,
    gross       BIGINT NOT NULL,
    customer    TEXT   NOT NULL,
    incarnation BIGINT NOT NULL,
    seq         BIGINT NOT NULL,
    PRIMARY KEY (source_ref, target, kind, part, n)
);
CREATE INDEX document_other ON document (other_ref);
CREATE INDEX document_customer ON document (customer);
