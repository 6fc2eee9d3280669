-- Repositories elsewhere that apps follow, and what their hosts have told of them.

-- An app follows one branch of one repository.
CREATE TABLE connections (
    app_id uuid PRIMARY KEY REFERENCES apps ON DELETE CASCADE,
    provider text NOT NULL CHECK (provider IN ('github', 'gitlab', 'gitea', 'forgejo', 'generic')),
    -- Without any password.
    url text NOT NULL,
    branch text NOT NULL,
    -- Whether a push there deploys by itself.
    automatic boolean NOT NULL DEFAULT true,
    -- Patterns of paths; a push that touches none of them deploys nothing. Empty: all do.
    watched text[] NOT NULL DEFAULT '{}',
    -- What deliveries are signed with, sealed as config vars are; the one before it counts until a time.
    secret bytea NOT NULL,
    old_secret bytea,
    old_secret_until timestamptz,
    -- The deploy key of an address of SSH, its private half sealed; and the token of one of HTTPS, sealed.
    public_key text,
    private_key bytea,
    token bytea,
    -- The key by which the SSH host showed itself when it was met first, as a line of known_hosts.
    host_key text,
    -- The newest head of the branch that was judged: deployed, or left for a reason.
    head text,
    -- When the branch was last looked at, and what was in the way if something was.
    looked_at timestamptz,
    trouble text,
    -- The last delivery that was turned away at the door: those leave no row of their own.
    refused text,
    refused_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- The inbox, and the ledger of what became of it.
CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    -- A host, the search for missed deliveries, or a person who had the branch looked at.
    source text NOT NULL CHECK (source IN ('github', 'gitlab', 'gitea', 'forgejo', 'generic', 'search', 'person')),
    -- The sender's own name for it: the same one twice is one delivery.
    delivery text NOT NULL,
    event text NOT NULL,
    -- What was read out of it: {"kind", "branch", "deleted", "actor"}.
    told jsonb NOT NULL,
    -- A person had it judged once more.
    again boolean NOT NULL DEFAULT false,
    -- NULL until a job has judged it.
    verdict text CHECK (verdict IN ('pong', 'deployed', 'current', 'ignored', 'failed')),
    reason text,
    commit text,
    build_id uuid REFERENCES builds ON DELETE SET NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    judged_at timestamptz,
    UNIQUE (app_id, source, delivery)
);
CREATE INDEX ON deliveries (app_id, id DESC);
CREATE INDEX ON deliveries (received_at);
CREATE INDEX ON deliveries (build_id) WHERE build_id IS NOT NULL;
