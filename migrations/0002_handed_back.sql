-- Starts of a job that did not count: the server was shutting down, or nothing had been done yet. `attempt` itself only
-- grows, because it is the fence: a number that came twice would let one start's late write hit the other's job.
ALTER TABLE jobs ADD COLUMN handed_back integer NOT NULL DEFAULT 0;
