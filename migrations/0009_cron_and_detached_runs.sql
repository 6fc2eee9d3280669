-- `run:detached`, `cron` of app.json with its history, and the end of a release phase that somebody asked for.
ALTER TABLE batches DROP CONSTRAINT batches_kind_check;
ALTER TABLE batches ADD CONSTRAINT batches_kind_check CHECK (kind IN ('release', 'postdeploy', 'cron', 'run'));
ALTER TABLE batches
    -- `run.4821` of a run, the name of the entry of cron; NULL for the phases of a release.
    ADD COLUMN name text,
    -- Who started it; NULL if the clock or a release did.
    ADD COLUMN actor_name text,
    -- What runs longer is ended; NULL for phases, whose limit is a setting.
    ADD COLUMN time_limit_seconds bigint,
    -- When the clock had it start; NULL for all else.
    ADD COLUMN due_at timestamptz,
    -- The Job that a cluster's own clock has made for it.
    ADD COLUMN job text;
-- One run at a time of an entry, one run of a name.
CREATE UNIQUE INDEX batches_one_at_a_time ON batches (app_id, kind, name)
    WHERE kind IN ('cron', 'run') AND finished_at IS NULL AND job IS NULL;
CREATE INDEX batches_unattended ON batches (kind) WHERE kind IN ('cron', 'run') AND finished_at IS NULL;
CREATE INDEX batches_cron_history ON batches (app_id, created_at DESC) WHERE kind = 'cron';

-- Who asked for the end of its release phase; it fails with these words, whatever the phase came to.
ALTER TABLE releases ADD COLUMN canceled_by text;

-- The entries of the release that is live. On one machine the platform is their clock.
CREATE TABLE cron_entries (
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    name text NOT NULL,
    release_id uuid NOT NULL REFERENCES releases ON DELETE CASCADE,
    command text NOT NULL,
    -- Five fields.
    schedule text NOT NULL,
    -- By the names of IANA.
    timezone text NOT NULL,
    -- The earliest time that is neither run nor passed over.
    next_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, name)
);
CREATE INDEX ON cron_entries (next_at);
