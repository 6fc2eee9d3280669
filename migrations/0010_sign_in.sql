-- Signing in at the web page: passwords, links that work once, sessions.

-- An argon2id hash with its salt and cost; NULL: nobody signs in with a password.
ALTER TABLE users ADD COLUMN password text;

-- Made on the server's own machine, for who has no password or has lost it. Taking a link removes it.
CREATE TABLE sign_in_links (
    sha256 bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);

CREATE TABLE web_sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    -- Only the hash of what the cookie holds: 256 random bits need no slow hash.
    sha256 bytea NOT NULL UNIQUE,
    -- Where it began, for its owner to recognise it by.
    address text NOT NULL,
    browser text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    -- Whatever happens, it ends here; it ends earlier when nobody uses it.
    expires_at timestamptz NOT NULL
);
CREATE INDEX ON web_sessions (user_id);
