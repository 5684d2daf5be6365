-- The key that a rotation made in this one's place. Not a reference: the successor may be deleted first.
ALTER TABLE gateway_keys ADD COLUMN replaced_by uuid;
