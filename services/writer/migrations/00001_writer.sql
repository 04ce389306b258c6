-- +goose Up

-- What is written to: an account. One row serialises its turns.
CREATE TABLE target (
    target   TEXT   NOT NULL PRIMARY KEY,
    tenant   TEXT   NOT NULL,
    epoch    BIGINT NOT NULL DEFAULT 0,
    owner    TEXT   NOT NULL DEFAULT '',
    turns    BIGINT NOT NULL DEFAULT 0,
    state    TEXT   NOT NULL DEFAULT 'active',
    reason   TEXT   NOT NULL DEFAULT '',
    alert    TEXT   NOT NULL DEFAULT '',
    probe_at BIGINT NOT NULL DEFAULT 0
);

-- One customer's ordered queue in one target.
CREATE TABLE lane (
    target    TEXT   NOT NULL,
    lane      TEXT   NOT NULL,
    next      BIGINT NOT NULL,
    state     TEXT   NOT NULL,
    wake_at   BIGINT NOT NULL DEFAULT 0,
    exception TEXT   NOT NULL DEFAULT '',
    PRIMARY KEY (target, lane)
);
CREATE INDEX lane_waiting ON lane (target, wake_at) WHERE state = 'waiting';
CREATE INDEX lane_parked ON lane (target) WHERE state = 'parked';

-- One place in a lane; the first rendering stored holds it.
CREATE TABLE slot (
    target       TEXT   NOT NULL,
    lane         TEXT   NOT NULL,
    seq          BIGINT NOT NULL,
    state        TEXT   NOT NULL,
    outcome      TEXT   NOT NULL DEFAULT '',
    event_id     TEXT   NOT NULL,
    subject      TEXT   NOT NULL,
    customer     TEXT   NOT NULL,
    route        TEXT   NOT NULL,
    entity       TEXT   NOT NULL,
    rev          BIGINT NOT NULL,
    class        TEXT   NOT NULL,
    cause        TEXT   NOT NULL,
    approval     TEXT   NOT NULL,
    mapping_hash TEXT   NOT NULL,
    render       BIGINT NOT NULL,
    doc          BYTEA  NOT NULL,
    trace        TEXT   NOT NULL,
    changed_at   BIGINT NOT NULL,
    received_at  BIGINT NOT NULL,
    wait_since   BIGINT NOT NULL DEFAULT 0,
    attempts     BIGINT NOT NULL DEFAULT 0,
    ended_at     BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (target, lane, seq)
);
CREATE INDEX slot_queued ON slot (target, class, changed_at) WHERE state = 'queued';
CREATE INDEX slot_subject ON slot (target, subject, rev);

-- A newer rendering of a slot, taken over by a turn.
CREATE TABLE slot_render (
    target       TEXT   NOT NULL,
    lane         TEXT   NOT NULL,
    seq          BIGINT NOT NULL,
    render       BIGINT NOT NULL,
    doc          BYTEA  NOT NULL,
    mapping_hash TEXT   NOT NULL,
    PRIMARY KEY (target, lane, seq, render)
);

-- One part's effect. A row exists only if its bytes may have left.
CREATE TABLE op (
    op_id          TEXT   NOT NULL PRIMARY KEY,
    target         TEXT   NOT NULL,
    lane           TEXT   NOT NULL,
    seq            BIGINT NOT NULL,
    part           TEXT   NOT NULL,
    n              BIGINT NOT NULL,
    kind           TEXT   NOT NULL,
    effect         TEXT   NOT NULL,
    subject        TEXT   NOT NULL,
    rev            BIGINT NOT NULL,
    state          TEXT   NOT NULL,
    gen            BIGINT NOT NULL,
    call           TEXT   NOT NULL,
    mark           TEXT   NOT NULL,
    request_hash   TEXT   NOT NULL,
    fields         TEXT   NOT NULL,
    target_ref     TEXT   NOT NULL,
    target_version TEXT   NOT NULL,
    attempts       BIGINT NOT NULL,
    started_at     BIGINT NOT NULL,
    ended_at       BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX op_subject ON op (target, subject, rev);
CREATE INDEX op_slot ON op (target, lane, seq);
CREATE INDEX op_open ON op (target) WHERE state IN ('sent', 'doubt');

-- One request to a vendor; body and key are frozen while it is unsettled.
CREATE TABLE call (
    call       TEXT   NOT NULL PRIMARY KEY,
    target     TEXT   NOT NULL,
    epoch      BIGINT NOT NULL,
    owner      TEXT   NOT NULL,
    body       BYTEA  NOT NULL,
    state      TEXT   NOT NULL,
    sends      BIGINT NOT NULL,
    first_sent BIGINT NOT NULL,
    last_sent  BIGINT NOT NULL
);
CREATE INDEX call_unsettled ON call (target) WHERE state <> 'settled';

-- Source ref <-> ref in the books.
CREATE TABLE link (
    source_ref    TEXT   NOT NULL,
    kind          TEXT   NOT NULL,
    part          TEXT   NOT NULL,
    n             BIGINT NOT NULL,
    other_target  TEXT   NOT NULL,
    other_ref     TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    mapping_hash  TEXT   NOT NULL,
    base          TEXT   NOT NULL,
    base_rev      BIGINT NOT NULL,
    rev           BIGINT NOT NULL,
    other_version TEXT   NOT NULL,
    number        TEXT   NOT NULL,
    PRIMARY KEY (source_ref, kind, part, n, other_target)
);
CREATE INDEX link_other ON link (other_ref);

-- The books' own tables: accounts, tax codes, terms, currencies.
CREATE TABLE reference (
    target  TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    key     TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    attrs   TEXT   NOT NULL,
    read_at BIGINT NOT NULL,
    PRIMARY KEY (target, kind, key)
);

-- A person's actions, applied by the owner in a turn.
CREATE TABLE command (
    id         TEXT   NOT NULL PRIMARY KEY,
    target     TEXT   NOT NULL,
    exception  TEXT   NOT NULL,
    lane       TEXT   NOT NULL,
    seq        BIGINT NOT NULL,
    action     TEXT   NOT NULL,
    actor      TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX command_waiting ON command (target, created_at) WHERE state = 'waiting';

-- A connection's tokens; a new one is stored before it is used.
CREATE TABLE credential (
    connection      TEXT   NOT NULL,
    purpose         TEXT   NOT NULL,
    access          TEXT   NOT NULL,
    refresh         TEXT   NOT NULL,
    version         BIGINT NOT NULL,
    expires         BIGINT NOT NULL,
    refresh_expires BIGINT NOT NULL,
    PRIMARY KEY (connection, purpose)
);
