-- What the hosts of connected repositories have been told of builds here: the outbox of reports.
CREATE TABLE reports (
    build_id uuid PRIMARY KEY REFERENCES builds ON DELETE CASCADE,
    -- The state that the host has taken last; NULL if none yet. What it should be told is read off the build.
    reported text,
    -- What the host calls the deployment, where it has a word for it.
    remote text,
    -- Failed tries since the last that was taken, and when the next is due.
    tries integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    trouble text,
    updated_at timestamptz NOT NULL DEFAULT now()
);
