-- Commands that run unattended to their end in an app's image, beside its processes: a release phase, a postdeploy
-- script, an entry of cron.
CREATE TABLE batches (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    -- Whose code and config it runs with.
    release_id uuid NOT NULL REFERENCES releases ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('release', 'postdeploy', 'cron')),
    command text NOT NULL,
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'running', 'succeeded', 'failed', 'canceled')),
    -- What the command ended with; NULL if it never ran, or was ended from outside.
    exit_status bigint,
    -- Why it did not succeed, for the user.
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    -- When it was over and the last word of its output was stored: followers leave then.
    finished_at timestamptz
);
-- A phase runs once for a release, however often its rollout is taken up again.
CREATE UNIQUE INDEX batches_one_phase ON batches (release_id, kind) WHERE kind IN ('release', 'postdeploy');
CREATE INDEX ON batches (app_id);

-- The sanitised text of what a batch wrote; an event's id is its byte offset in that text.
CREATE TABLE batch_log (
    batch_id uuid NOT NULL REFERENCES batches ON DELETE CASCADE,
    start_offset bigint NOT NULL,
    text bytea NOT NULL,
    PRIMARY KEY (batch_id, start_offset)
);
