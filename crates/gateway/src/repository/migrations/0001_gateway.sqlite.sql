-- Who writes takes the one row of gateway_revision first, so that commits are made in the order of their revisions.
CREATE TABLE gateway_revision (
    id       integer PRIMARY KEY CHECK (id = 1),
    revision integer  NOT NULL,
    tiers    integer  NOT NULL, -- the revision that replaced the tiers, 0 if none did
    pruned   integer  NOT NULL  -- deletions up to this revision are forgotten
);
INSERT INTO gateway_revision (id, revision, tiers, pruned) VALUES (1, 0, 0, 0);

CREATE TABLE gateway_tenants (
    id         text NOT NULL PRIMARY KEY,
    version    integer NOT NULL,
    revision   integer NOT NULL,
    name       text NOT NULL CONSTRAINT gateway_tenants_name UNIQUE,
    tier       text NOT NULL,
    rate_limit text,
    is_active  integer NOT NULL,
    managed_by text NOT NULL,
    created_at text NOT NULL,
    updated_at text NOT NULL
);
CREATE INDEX gateway_tenants_revision ON gateway_tenants (revision);

-- Without ON DELETE CASCADE: what goes with a tenant leaves its own line in gateway_deletions.
CREATE TABLE gateway_keys (
    id         text NOT NULL PRIMARY KEY,
    version    integer NOT NULL,
    revision   integer NOT NULL,
    tenant_id  text NOT NULL REFERENCES gateway_tenants (id),
    name       text NOT NULL,
    hash       text NOT NULL,
    hint       text NOT NULL,
    rate_limit text,
    expires_at text,
    revoked_at text,
    managed_by text NOT NULL,
    created_at text NOT NULL,
    updated_at text NOT NULL
);
CREATE UNIQUE INDEX gateway_keys_live_hash ON gateway_keys (hash) WHERE revoked_at IS NULL;
CREATE INDEX gateway_keys_tenant ON gateway_keys (tenant_id);
CREATE INDEX gateway_keys_revision ON gateway_keys (revision);

CREATE TABLE gateway_routes (
    id         text NOT NULL PRIMARY KEY,
    version    integer NOT NULL,
    revision   integer NOT NULL,
    tenant_id  text REFERENCES gateway_tenants (id),
    definition text NOT NULL
);
CREATE INDEX gateway_routes_tenant ON gateway_routes (tenant_id);
CREATE INDEX gateway_routes_revision ON gateway_routes (revision);

CREATE TABLE gateway_tiers (
    name       text NOT NULL PRIMARY KEY,
    rate_limit text NOT NULL
);

CREATE TABLE gateway_deletions (
    entity   text NOT NULL,
    id       text NOT NULL,
    revision integer NOT NULL,
    PRIMARY KEY (entity, id)
);
CREATE INDEX gateway_deletions_revision ON gateway_deletions (revision);

CREATE TABLE gateway_audit (
    id         text NOT NULL PRIMARY KEY,
    revision   integer NOT NULL,
    at         text NOT NULL,
    actor      text NOT NULL,
    action     text NOT NULL,
    entity     text NOT NULL,
    entity_id  text NOT NULL,
    tenant_id  text,
    before     text,
    after      text,
    request_id text
);
CREATE INDEX gateway_audit_entity ON gateway_audit (entity_id, id);
CREATE INDEX gateway_audit_tenant ON gateway_audit (tenant_id, id);

CREATE TABLE gateway_settings (
    name  text NOT NULL PRIMARY KEY,
    value text NOT NULL
);
