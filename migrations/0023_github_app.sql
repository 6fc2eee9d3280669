-- A connected app is let in at its host by what it has of its own, a deploy key or a token, or by the platform as a
-- GitHub App, which then has a token made for the hour.
ALTER TABLE connections ADD COLUMN access text NOT NULL DEFAULT 'own' CHECK (access IN ('own', 'github-app'));
