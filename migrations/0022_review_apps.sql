-- Review apps: an app for each pull request of the repository that its parent follows.
ALTER TABLE connections
    ADD COLUMN review_apps boolean NOT NULL DEFAULT false,
    -- How many the parent may have at a time, and the days without a push after which one is removed.
    ADD COLUMN review_limit integer NOT NULL DEFAULT 10 CHECK (review_limit > 0),
    ADD COLUMN review_days integer NOT NULL DEFAULT 14 CHECK (review_days > 0),
    -- Patterns of the parent's config vars that one is made with, unless its pull request comes from a fork.
    ADD COLUMN review_inherits text[] NOT NULL DEFAULT '{}';

-- What is known of the pull requests (GitLab: merge requests) of a connected app's repository.
CREATE TABLE pull_requests (
    id uuid PRIMARY KEY,
    parent_id uuid NOT NULL REFERENCES apps ON DELETE CASCADE,
    -- The host's number for it.
    number bigint NOT NULL,
    title text NOT NULL,
    -- The branch that it would have merged, and the repository of that branch if it is another than the parent's.
    branch text NOT NULL,
    fork text,
    open boolean NOT NULL DEFAULT true,
    -- When it was like this, by the host's clock: what is older has been overtaken.
    told_at timestamptz,
    -- Its newest commit, and the one of a fork that somebody has approved.
    head text,
    approved text,
    -- Its review app, and when that was last pushed to.
    app_id uuid UNIQUE REFERENCES apps ON DELETE SET NULL,
    pushed_at timestamptz,
    -- Why it has none, or why its newest commit is not in it: NULL if nothing is in the way.
    lacks text CHECK (lacks IN ('approval', 'room', 'age', 'unwatched', 'skipped')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (parent_id, number)
);

-- A pull request's app was removed, because it was closed.
ALTER TABLE deliveries DROP CONSTRAINT deliveries_verdict_check,
    ADD CONSTRAINT deliveries_verdict_check CHECK (verdict IN ('pong', 'deployed', 'current', 'ignored', 'failed', 'removed'));
