-- Who writes takes the one row of gateway_revision first, so that commits are made in the order of their revisions.
CREATE TABLE gateway_revision (
    id       integer PRIMARY KEY CHECK (id = 1),
    revision bigint  NOT NULL,
    tiers    bigint  NOT NULL, -- the revision that replaced the tiers, 0 if none did
    pruned   bigint  NOT NULL  -- deletions up to this revision are forgotten
);
INSERT INTO gateway_revision (id, revision, tiers, pruned) VALUES (1, 0, 0, 0);

CREATE TABLE gateway_tenants (
    id         uuid PRIMARY KEY,
    version    bigint NOT NULL,
    revision   bigint NOT NULL,
    name       text NOT NULL CONSTRAINT gateway_tenants_name UNIQUE,
    tier       text NOT NULL,
    rate_limit json,
    is_active  boolean NOT NULL,
    managed_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX gateway_tenants_revision ON gateway_tenants (revision);

-- Without ON DELETE CASCADE: what goes with a tenant leaves its own line in gateway_deletions.
CREATE TABLE gateway_keys (
    id         uuid PRIMARY KEY,
    version    bigint NOT NULL,
    revision   bigint NOT NULL,
    tenant_id  uuid NOT NULL REFERENCES gateway_tenants (id),
    name       text NOT NULL,
    hash       text NOT NULL,
    hint       text NOT NULL,
    rate_limit json,
    expires_at timestamptz,
    revoked_at timestamptz,
    managed_by text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX gateway_keys_live_hash ON gateway_keys (hash) WHERE revoked_at IS NULL;
CREATE INDEX gateway_keys_tenant ON gateway_keys (tenant_id);
CREATE INDEX gateway_keys_revision ON gateway_keys (revision);

CREATE TABLE gateway_routes (
    id         uuid PRIMARY KEY,
    version    bigint NOT NULL,
    revision   bigint NOT NULL,
    tenant_id  uuid REFERENCES gateway_tenants (id),
    definition json NOT NULL
);
CREATE INDEX gateway_routes_tenant ON gateway_routes (tenant_id);
CREATE INDEX gateway_routes_revision ON gateway_routes (revision);

CREATE TABLE gateway_tiers (
    name       text PRIMARY KEY,
    rate_limit json NOT NULL
);

CREATE TABLE gateway_deletions (
    entity   text NOT NULL,
    id       uuid NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (entity, id)
);
CREATE INDEX gateway_deletions_revision ON gateway_deletions (revision);

CREATE TABLE gateway_audit (
    id         uuid PRIMARY KEY,
    revision   bigint NOT NULL,
    at         timestamptz NOT NULL,
    actor      text NOT NULL,
    action     text NOT NULL,
    entity     text NOT NULL,
    entity_id  uuid NOT NULL,
    tenant_id  uuid,
    before     json,
    after      json,
    request_id text
);
CREATE INDEX gateway_audit_entity ON gateway_audit (entity_id, id);
CREATE INDEX gateway_audit_tenant ON gateway_audit (tenant_id, id);

CREATE TABLE gateway_settings (
    name  text PRIMARY KEY,
    value text NOT NULL
);
