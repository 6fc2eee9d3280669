-- Where the logs of apps go besides the platform's own disk, and who reads them by an address alone.

CREATE TABLE log_drains (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    -- The address, which may hold a password; sealed as config vars are.
    sealed bytea NOT NULL,
    -- The number of the last line of the app's log that was delivered.
    position bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON log_drains (app_id);

CREATE TABLE log_sessions (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    -- The address holds the secret; only its hash is stored.
    sha256 bytea NOT NULL UNIQUE,
    -- Which lines are told, as the API was asked for them.
    wanted jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX ON log_sessions (expires_at);
