-- Web hooks of our own: whom we tell of an app's builds and releases, and what became of each delivery.

CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    url text NOT NULL,
    -- Which events, in Heroku's words.
    include text[] NOT NULL,
    -- `notify` is tried once, `sync` until it is taken.
    level text NOT NULL CHECK (level IN ('notify', 'sync')),
    -- What deliveries are signed with, sealed as config vars are.
    secret bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (app_id, url)
);

-- The outbox: an event is written in the transaction that makes it true, by the triggers below.
CREATE TABLE webhook_events (
    id uuid PRIMARY KEY,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    include text NOT NULL,
    action text NOT NULL CHECK (action IN ('create', 'update')),
    -- The row as it was then, and the status before.
    data jsonb NOT NULL,
    previous_status text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON webhook_events (created_at);
CREATE INDEX ON webhook_events (app_id);

CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- In the order of the events.
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    app_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    webhook_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    event_id uuid NOT NULL REFERENCES webhook_events ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'retrying', 'succeeded', 'failed')),
    tries integer NOT NULL DEFAULT 0,
    -- NULL when it is over.
    due_at timestamptz DEFAULT now(),
    -- The last try: its id, what the receiver answered, or why it could not.
    attempt_id uuid,
    attempted_at timestamptz,
    code integer,
    error text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON webhook_deliveries (webhook_id, number) WHERE due_at IS NOT NULL;
CREATE INDEX ON webhook_deliveries (app_id, number DESC);
CREATE INDEX ON webhook_deliveries (event_id);

-- Fires for every change of a status, whoever makes it; an app without web hooks costs one look.
CREATE FUNCTION tell_webhooks() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    about text := TG_ARGV[0];
    event uuid := gen_random_uuid();
    before text;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := OLD.status;
        IF before = NEW.status THEN
            RETURN NULL;
        END IF;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.app_id = NEW.app_id AND about = ANY (w.include)) THEN
        RETURN NULL;
    END IF;
    INSERT INTO webhook_events (id, app_id, include, action, data, previous_status)
    VALUES (event, NEW.app_id, about, CASE TG_OP WHEN 'INSERT' THEN 'create' ELSE 'update' END,
            to_jsonb(NEW) - ARRAY['blueprint', 'config', 'reuse_key'], before);
    INSERT INTO webhook_deliveries (app_id, webhook_id, event_id)
    SELECT NEW.app_id, w.id, event FROM webhooks w
    WHERE w.app_id = NEW.app_id AND about = ANY (w.include) ORDER BY w.id
    -- One that is being removed is waited for, and left out.
    FOR KEY SHARE;
    RETURN NULL;
END $$;

CREATE TRIGGER tell_webhooks AFTER INSERT OR UPDATE OF status ON builds
    FOR EACH ROW EXECUTE FUNCTION tell_webhooks('api:build');
CREATE TRIGGER tell_webhooks AFTER INSERT OR UPDATE OF status ON releases
    FOR EACH ROW EXECUTE FUNCTION tell_webhooks('api:release');
