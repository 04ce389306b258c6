-- +goose Up

-- Creates that may still have a copy on its way, by what they made.
CREATE INDEX op_made ON op (target, target_ref) WHERE effect = 'create' AND state = 'done';
