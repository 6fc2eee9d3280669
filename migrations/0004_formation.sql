-- How many processes of each type run, and of what size. It belongs to the app, not to its releases: scaling makes none,
-- and the next one keeps it.
CREATE TABLE formation (
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    process_type text NOT NULL,
    quantity integer NOT NULL CHECK (quantity BETWEEN 0 AND 1000),
    -- A name of SLIPWAY_SIZES; NULL is the usual size.
    size text CHECK (size <> ''),
    -- {"min": 2, "max": 5, "cpu": 70}: an autoscaler has the number; NULL: it is the quantity.
    autoscale jsonb,
    -- Grows with each quantity that somebody asks for: a number that was changed in the cluster gives way to a newer one
    -- only.
    asked bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app_id, process_type)
);

-- Before this table each process type of a release ran once, and goes on doing so.
INSERT INTO formation (app_id, process_type, quantity)
SELECT DISTINCT releases.app_id, types.name, 1
FROM releases CROSS JOIN LATERAL jsonb_object_keys(releases.blueprint -> 'processes') AS types (name)
WHERE releases.status = 'succeeded' AND releases.blueprint IS NOT NULL;

-- What people asked of the processes (scale, restart, stop), and what came of it.
CREATE TABLE formation_changes (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'succeeded', 'failed')),
    wish jsonb NOT NULL,
    actor_name text NOT NULL,
    -- Why it failed, for the user.
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX ON formation_changes (app_id) WHERE status = 'pending';
