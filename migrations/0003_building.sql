-- How an app is built when its tree alone does not say it: each goes before what the tree says.

ALTER TABLE apps
    -- The folder of the tree that is built: an app of a monorepo.
    ADD COLUMN folder text CHECK (folder <> ''),
    -- A buildpack's name.
    ADD COLUMN buildpack text CHECK (buildpack <> ''),
    -- An image with Cloud Native Buildpacks.
    ADD COLUMN builder text CHECK (builder <> '');
