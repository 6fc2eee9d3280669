-- Releases of images that were built elsewhere, and of images that another app of the pipeline has run.
ALTER TABLE releases DROP CONSTRAINT releases_trigger_check;
ALTER TABLE releases ADD CONSTRAINT releases_trigger_check
    CHECK (trigger IN ('push', 'retry', 'hook', 'config', 'rollback', 'container', 'promotion'));

-- Apps that the same code passes through, stage by stage. All of them belong to the pipeline's team.
CREATE TABLE pipelines (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    team_id uuid NOT NULL REFERENCES teams,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON pipelines (team_id);

-- An app is in one pipeline at most.
CREATE TABLE pipeline_couplings (
    app_id uuid PRIMARY KEY REFERENCES apps ON DELETE CASCADE,
    pipeline_id uuid NOT NULL REFERENCES pipelines ON DELETE CASCADE,
    stage text NOT NULL CHECK (stage IN ('review', 'development', 'staging', 'production')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON pipeline_couplings (pipeline_id);
