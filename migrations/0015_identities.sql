-- Signing in by an OpenID Connect provider.

-- The address, in lower case, by which a provider may name somebody the first time.
ALTER TABLE users ADD COLUMN email text UNIQUE;
UPDATE users SET email = name WHERE strpos(name, '@') > 0;

-- What providers call people. Made at the first sign-in; from then on it alone counts, whoever has the address later.
CREATE TABLE identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject),
    -- One person has one account at a provider: a second one with the same address is somebody else.
    UNIQUE (user_id, issuer)
);
