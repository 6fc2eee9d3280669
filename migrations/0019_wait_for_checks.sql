-- A connected app may wait until the commit's checks at its host are good.
ALTER TABLE connections ADD COLUMN wait_for_checks boolean NOT NULL DEFAULT false;

-- The head whose checks a delivery waits for, and since when: another head begins anew.
ALTER TABLE deliveries ADD COLUMN waits_for text, ADD COLUMN waits_since timestamptz;
