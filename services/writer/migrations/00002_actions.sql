-- +goose Up

-- Why a lane waits, for a person.
ALTER TABLE lane ADD COLUMN why TEXT NOT NULL DEFAULT '';

-- How many queued slots of a lane are realtime: one pulls its lane forward.
ALTER TABLE lane ADD COLUMN realtime BIGINT NOT NULL DEFAULT 0;

-- The open exception of a slot that was set aside.
ALTER TABLE slot ADD COLUMN exception TEXT NOT NULL DEFAULT '';
CREATE INDEX slot_aside ON slot (target, subject) WHERE state = 'aside';

-- What a record was merged into, and how a link was found.
ALTER TABLE link ADD COLUMN alias_of TEXT NOT NULL DEFAULT '';
ALTER TABLE link ADD COLUMN explain TEXT NOT NULL DEFAULT '';

-- What waiting heads wait for.
CREATE TABLE wait (
    target TEXT   NOT NULL,
    ref    TEXT   NOT NULL,
    kind   TEXT   NOT NULL,
    part   TEXT   NOT NULL,
    lane   TEXT   NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (target, ref, kind, part, lane)
);
CREATE INDEX wait_lane ON wait (target, lane);

-- What an action names, and who approved it.
ALTER TABLE command ADD COLUMN ref TEXT NOT NULL DEFAULT '';
ALTER TABLE command ADD COLUMN part TEXT NOT NULL DEFAULT '';
ALTER TABLE command ADD COLUMN approver TEXT NOT NULL DEFAULT '';

-- Who paused a target, if a person did.
ALTER TABLE target ADD COLUMN held_by TEXT NOT NULL DEFAULT '';
