-- +goose Up

-- Since when documents may be missing here, 0 unless this database was set
-- back; whether what the others know was gathered; and what generations of ops
-- go on above, so that no two lives of the database share a vendor key.
ALTER TABLE target ADD COLUMN recovery_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE target ADD COLUMN recovery_gathered BIGINT NOT NULL DEFAULT 0;
ALTER TABLE target ADD COLUMN gens BIGINT NOT NULL DEFAULT 0;

-- Events that ingest admitted beyond what this database knew when it was set
-- back, and how they ended.
CREATE TABLE told (
    target   TEXT   NOT NULL,
    event_id TEXT   NOT NULL,
    lane     TEXT   NOT NULL,
    seq      BIGINT NOT NULL,
    subject  TEXT   NOT NULL,
    rev      BIGINT NOT NULL,
    outcome  TEXT   NOT NULL,
    is_merge BIGINT NOT NULL,
    PRIMARY KEY (target, event_id)
);
CREATE INDEX told_subject ON told (target, subject, rev);

-- Records whose documents were found again.
CREATE TABLE recalled (
    target  TEXT NOT NULL,
    subject TEXT NOT NULL,
    state   TEXT NOT NULL,
    PRIMARY KEY (target, subject)
);

-- Where this database's streams stood when it was set back.
CREATE TABLE past_stream (
    stream      TEXT   NOT NULL PRIMARY KEY,
    incarnation BIGINT NOT NULL,
    last_seq    BIGINT NOT NULL
);
