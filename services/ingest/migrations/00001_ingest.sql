-- +goose Up

-- How far each listing was read.
CREATE TABLE cursor (
    connection TEXT NOT NULL,
    type       TEXT NOT NULL,
    position   TEXT NOT NULL,
    PRIMARY KEY (connection, type)
);

-- Records to be read: one row for each, however often it was asked for.
CREATE TABLE hint (
    ref           TEXT   NOT NULL PRIMARY KEY,
    connection    TEXT   NOT NULL,
    type          TEXT   NOT NULL,
    cause         TEXT   NOT NULL,
    class         TEXT   NOT NULL,
    asked         BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    claimed_until BIGINT NOT NULL DEFAULT 0,
    trace         TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX hint_due ON hint (connection, type, due_at);

-- What is known of each record: its revision is our count of distinct states.
CREATE TABLE object (
    ref            TEXT   NOT NULL PRIMARY KEY,
    rev            BIGINT NOT NULL,
    hash           TEXT   NOT NULL,
    vendor_version TEXT   NOT NULL,
    read_no        BIGINT NOT NULL,
    deleted        BIGINT NOT NULL
);

-- One row: fences a process from before a restore, and numbers the reads.
CREATE TABLE book (
    id           BIGINT NOT NULL PRIMARY KEY,
    incarnation  BIGINT NOT NULL,
    restores     BIGINT NOT NULL,
    last_read_no BIGINT NOT NULL,
    records      BIGINT NOT NULL
);
INSERT INTO book (id, incarnation, restores, last_read_no, records) VALUES (1, 1, 0, 0, 0);

-- Records that were merged away.
CREATE TABLE alias (
    ref      TEXT NOT NULL PRIMARY KEY,
    survivor TEXT NOT NULL
);

-- The numbering of each lane.
CREATE TABLE lane (
    target   TEXT   NOT NULL,
    lane     TEXT   NOT NULL,
    last_seq BIGINT NOT NULL,
    PRIMARY KEY (target, lane)
);

-- One revision on one route; it is its own outbox.
CREATE TABLE event (
    target       TEXT   NOT NULL,
    lane         TEXT   NOT NULL,
    seq          BIGINT NOT NULL,
    event_id     TEXT   NOT NULL UNIQUE,
    ref          TEXT   NOT NULL,
    rev          BIGINT NOT NULL,
    route        TEXT   NOT NULL,
    slot_no      BIGINT NOT NULL,
    class        TEXT   NOT NULL,
    body         BYTEA  NOT NULL,
    trace        TEXT   NOT NULL,
    admitted_at  BIGINT NOT NULL,
    published_at BIGINT,
    ended_at     BIGINT NOT NULL DEFAULT 0,
    outcome      TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (target, lane, seq),
    UNIQUE (route, ref, rev, slot_no)
);
CREATE INDEX event_unpublished ON event (admitted_at) WHERE published_at IS NULL;
CREATE INDEX event_open ON event (published_at) WHERE ended_at = 0;
CREATE INDEX event_route ON event (route, outcome);
CREATE INDEX event_ref ON event (ref);
