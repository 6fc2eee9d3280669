-- The history shows the message of a release's commit, also where the release has no build of its own.
CREATE INDEX ON builds (app_id, commit);
