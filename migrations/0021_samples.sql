-- What apps use and answer, in slots of five minutes. Kept for two weeks.
CREATE TABLE samples (
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    -- When the slot begins.
    at timestamptz NOT NULL,
    -- How many seconds of the slot were measured, and the CPU time of all processes in them.
    seconds real NOT NULL,
    cpu_seconds real NOT NULL,
    -- The most that all processes held at a time, in bytes.
    memory bigint NOT NULL,
    restarts integer NOT NULL,
    requests bigint NOT NULL,
    -- Answers of 500 and above.
    errors bigint NOT NULL,
    -- Answers by how long they took: see `domain/latency.rs`.
    latency integer[] NOT NULL,
    PRIMARY KEY (app_id, at)
);
-- For what is too old.
CREATE INDEX samples_at ON samples (at);
-- For the deploys of each day.
CREATE INDEX builds_app_created ON builds (app_id, created_at);
