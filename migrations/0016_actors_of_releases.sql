-- The history's filter names who has made releases: found by steps through this index, however many releases there are.
CREATE INDEX ON releases (app_id, actor_name);
