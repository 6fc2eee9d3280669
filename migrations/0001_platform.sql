-- People, their keys and tokens.
CREATE TABLE users (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    admin boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ssh_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    comment text NOT NULL DEFAULT '',
    -- SHA256:… as ssh-keygen prints it; one key belongs to one user.
    fingerprint text NOT NULL UNIQUE,
    public_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz
);
CREATE INDEX ON ssh_keys (user_id);

CREATE TABLE tokens (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    description text NOT NULL DEFAULT '',
    -- Only the hash is stored: 256 random bits need no slow hash.
    sha256 bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz
);
CREATE INDEX ON tokens (user_id);

CREATE TABLE teams (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE memberships (
    team_id uuid NOT NULL REFERENCES teams ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('owner', 'deployer', 'viewer')),
    PRIMARY KEY (team_id, user_id)
);
CREATE INDEX ON memberships (user_id);

CREATE TABLE apps (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    team_id uuid NOT NULL REFERENCES teams,
    deploy_branch text NOT NULL DEFAULT 'main',
    -- Where the deploy branch stands: git converges to it. NULL until the first release of a push.
    branch_commit text,
    -- The Dockerfile's path when it is not the usual one.
    dockerfile text,
    -- The path of the HTTP health check; NULL checks that the port accepts connections.
    health_path text,
    -- Which foreign Deployments the app moves; NULL makes our own.
    adoption jsonb,
    -- The app's key for config vars, itself encrypted with the platform's key file.
    wrapped_key bytea NOT NULL,
    -- The config as it is now: {"NAME": version of the value}.
    config jsonb NOT NULL DEFAULT '{}',
    last_build bigint NOT NULL DEFAULT 0,
    last_version bigint NOT NULL DEFAULT 0,
    -- The gate: a build with a number at or below it may not be released any more.
    released_build bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON apps (team_id);

-- Values of config vars never change: setting one adds a row, so that a release's snapshot stays readable.
CREATE TABLE config_values (
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    name text NOT NULL,
    version bigint NOT NULL,
    -- nonce followed by the XChaCha20-Poly1305 ciphertext; the associated data is app, name and version.
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, name, version)
);

CREATE TABLE builds (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    number bigint NOT NULL,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN
        ('queued', 'building', 'pushing', 'succeeded', 'failed', 'errored', 'canceled', 'superseded')),
    trigger text NOT NULL CHECK (trigger IN ('push', 'retry', 'hook')),
    commit text NOT NULL,
    tree text NOT NULL,
    subject text NOT NULL,
    -- What the pusher saw the branch at; NULL if there was none.
    branch_was text,
    forced boolean NOT NULL DEFAULT false,
    -- The pusher went away on purpose (`-o detach`).
    detached boolean NOT NULL DEFAULT false,
    no_cache boolean NOT NULL DEFAULT false,
    actor_id uuid REFERENCES users ON DELETE SET NULL,
    actor_name text NOT NULL,
    -- The fence: a worker's writes carry the attempt that it claimed.
    attempt integer NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    -- What the stages made, each stored before the next begins.
    reuse_key text,
    image_id text,
    -- What the image or Procfile says of processes: port, commands.
    blueprint jsonb,
    digest text,
    -- Why it ended as it did, for the user.
    reason text,
    superseded_by bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    -- When the last word of the log was written, the rollout's included: followers leave then.
    log_closed_at timestamptz,
    UNIQUE (app_id, number)
);
CREATE INDEX ON builds (app_id, reuse_key) WHERE digest IS NOT NULL;
-- One running and one pending build per app.
CREATE UNIQUE INDEX builds_one_pending ON builds (app_id) WHERE status = 'queued' AND attempt = 0;
CREATE UNIQUE INDEX builds_one_running ON builds (app_id) WHERE status IN ('building', 'pushing');

CREATE TABLE build_stages (
    build_id uuid NOT NULL REFERENCES builds ON DELETE CASCADE,
    stage text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (build_id, stage)
);

-- The sanitised text of a build's log; an event's id is its byte offset in that text.
CREATE TABLE build_log (
    build_id uuid NOT NULL REFERENCES builds ON DELETE CASCADE,
    start_offset bigint NOT NULL,
    text bytea NOT NULL,
    PRIMARY KEY (build_id, start_offset)
);

CREATE TABLE releases (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    version bigint NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'succeeded', 'failed')),
    description text NOT NULL,
    trigger text NOT NULL CHECK (trigger IN ('push', 'retry', 'hook', 'config', 'rollback')),
    -- The build that made it; rollbacks and config changes have none of their own.
    build_id uuid UNIQUE REFERENCES builds,
    -- What runs: NULL before the first push.
    commit text,
    image text,
    digest text,
    blueprint jsonb,
    config jsonb NOT NULL,
    actor_id uuid REFERENCES users ON DELETE SET NULL,
    actor_name text NOT NULL,
    rollback_of bigint,
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    UNIQUE (app_id, version)
);
CREATE INDEX ON releases (app_id, version DESC) WHERE status = 'succeeded';

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    -- Jobs of one lane run one after another.
    lane text NOT NULL,
    payload jsonb NOT NULL,
    status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'dead')),
    attempt integer NOT NULL DEFAULT 0,
    worker uuid,
    lease_until timestamptz,
    run_after timestamptz NOT NULL DEFAULT now(),
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX ON jobs (run_after) WHERE status = 'queued';
CREATE UNIQUE INDEX jobs_one_running_per_lane ON jobs (lane) WHERE status = 'running';

-- Who did what; rows are only ever added.
CREATE TABLE audit (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor_id uuid,
    actor_name text NOT NULL,
    app_id uuid,
    app_name text,
    action text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON audit (app_id, at);
