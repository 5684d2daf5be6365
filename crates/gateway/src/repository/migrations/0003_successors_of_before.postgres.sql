-- Keys that were rotated before 0002: the audit log says what was made in the same commit as the rotation. Of a key that was
-- rotated more than once, which could be then, the last successor counts.
UPDATE gateway_keys
SET replaced_by = made.entity_id
FROM (
    SELECT entity_id, max(revision) AS revision
    FROM gateway_audit
    WHERE entity = 'key' AND action = 'rotate'
    GROUP BY entity_id
) AS rotated
JOIN gateway_audit AS made
    ON made.revision = rotated.revision AND made.entity = 'key' AND made.action = 'create'
WHERE gateway_keys.id = rotated.entity_id AND gateway_keys.replaced_by IS NULL;
