-- +goose Up

-- Exceptions that people are to be told of: once, with others like them.
CREATE TABLE notice (
    exception TEXT   NOT NULL PRIMARY KEY,
    tenant    TEXT   NOT NULL,
    target    TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    subject   TEXT   NOT NULL,
    reason    TEXT   NOT NULL,
    opened_at BIGINT NOT NULL,
    ended     BIGINT NOT NULL DEFAULT 0,
    message   TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX notice_untold ON notice (tenant, target, kind, opened_at) WHERE message = '' AND ended = 0;

-- A message on its way to one channel.
CREATE TABLE message (
    id       TEXT   NOT NULL,
    channel  TEXT   NOT NULL,
    tenant   TEXT   NOT NULL,
    target   TEXT   NOT NULL,
    kind     TEXT   NOT NULL,
    count    BIGINT NOT NULL,
    body     BYTEA  NOT NULL,
    state    TEXT   NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    made_at  BIGINT NOT NULL,
    next_at  BIGINT NOT NULL,
    sent_at  BIGINT NOT NULL DEFAULT 0,
    error    TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (id, channel)
);
CREATE INDEX message_due ON message (next_at) WHERE state = 'due';
CREATE INDEX message_made ON message (made_at);
