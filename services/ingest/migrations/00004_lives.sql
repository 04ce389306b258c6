-- +goose Up

-- The incarnation of the writer's streams that spoke of an event last: a newer
-- one is heard even though the event ended.
ALTER TABLE event ADD COLUMN life BIGINT NOT NULL DEFAULT 0;
-- A restored writer asked for it and does not hold it yet, however it ended.
ALTER TABLE event ADD COLUMN owed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX event_owed ON event (target, lane, seq) WHERE owed = 1;
