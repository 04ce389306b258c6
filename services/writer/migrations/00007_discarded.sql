-- +goose Up
-- A reconciliation asks which records a person discarded.
CREATE INDEX slot_discarded ON slot (target, subject) WHERE outcome = 'discarded';
