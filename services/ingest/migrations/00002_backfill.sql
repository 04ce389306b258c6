-- +goose Up

-- When a route was first run: its cut-off, unless it names another.
CREATE TABLE route_start (
    route      TEXT   NOT NULL PRIMARY KEY,
    started_at BIGINT NOT NULL
);

-- A backfill of one type of a connection.
CREATE TABLE run (
    id         TEXT   NOT NULL PRIMARY KEY,
    connection TEXT   NOT NULL,
    type       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    from_at    BIGINT NOT NULL,
    match_only BIGINT NOT NULL,
    total      BIGINT NOT NULL,
    listed     BIGINT NOT NULL DEFAULT 0, -- 1 once the listing came to its end
    position   TEXT   NOT NULL DEFAULT '', -- the last ref that was listed
    read_count BIGINT NOT NULL DEFAULT 0,
    admitted   BIGINT NOT NULL DEFAULT 0,
    duplicates BIGINT NOT NULL DEFAULT 0,
    failed     BIGINT NOT NULL DEFAULT 0,
    why        TEXT   NOT NULL DEFAULT '',
    actor      TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX run_live ON run (connection, started_at) WHERE state = 'running';

-- The backfill that asked for a record.
ALTER TABLE hint ADD COLUMN run TEXT NOT NULL DEFAULT '';
-- How often a record was put off for its customer's own record.
ALTER TABLE hint ADD COLUMN deferred BIGINT NOT NULL DEFAULT 0;
CREATE INDEX hint_run ON hint (run) WHERE run <> '';

-- Pushed under a key: the same key with another body is refused.
CREATE TABLE push_key (
    connection TEXT   NOT NULL,
    key        TEXT   NOT NULL,
    body_hash  TEXT   NOT NULL,
    answer     TEXT   NOT NULL,
    at         BIGINT NOT NULL,
    PRIMARY KEY (connection, key)
);

CREATE INDEX event_admitted ON event (admitted_at);
CREATE INDEX event_open_class ON event (target, class) WHERE ended_at = 0;
