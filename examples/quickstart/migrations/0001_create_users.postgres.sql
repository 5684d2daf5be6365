-- the table `bastide_audit` does not exist
CREATE TABLE "bastide_audit" (
    "tenant_id" text NOT NULL DEFAULT NULLIF(current_setting('app.tenant_id', true), ''),
    "id" uuid NOT NULL,
    "at" timestamp with time zone NOT NULL,
    "actor" text,
    "request" text NOT NULL,
    "action" text NOT NULL,
    "entity" text NOT NULL,
    "row" text NOT NULL,
    "before" jsonb,
    "after" jsonb,
    CONSTRAINT "bastide_audit_pkey" PRIMARY KEY ("tenant_id", "id")
);
CREATE INDEX "bastide_audit_at_idx" ON "bastide_audit" ("tenant_id", "at");
CREATE INDEX "bastide_audit_row_idx" ON "bastide_audit" ("tenant_id", "row");
ALTER TABLE "bastide_audit" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "bastide_audit" FORCE ROW LEVEL SECURITY;
CREATE POLICY "bastide_tenant" ON "bastide_audit" USING ("tenant_id" = (SELECT NULLIF(current_setting('app.tenant_id', true), ''))) WITH CHECK ("tenant_id" = (SELECT NULLIF(current_setting('app.tenant_id', true), '')));

-- the table `users` does not exist
CREATE TABLE "users" (
    "tenant_id" text NOT NULL DEFAULT NULLIF(current_setting('app.tenant_id', true), ''),
    "created_at" timestamp with time zone NOT NULL,
    "updated_at" timestamp with time zone NOT NULL,
    "deleted_at" timestamp with time zone,
    "version" bigint NOT NULL,
    "id" uuid NOT NULL,
    "email" text NOT NULL,
    "name" text NOT NULL,
    CONSTRAINT "users_pkey" PRIMARY KEY ("tenant_id", "id")
);
CREATE UNIQUE INDEX "users_email_key" ON "users" ("tenant_id", "email") WHERE "deleted_at" IS NULL;
ALTER TABLE "users" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "users" FORCE ROW LEVEL SECURITY;
CREATE POLICY "bastide_tenant" ON "users" USING ("tenant_id" = (SELECT NULLIF(current_setting('app.tenant_id', true), ''))) WITH CHECK ("tenant_id" = (SELECT NULLIF(current_setting('app.tenant_id', true), '')));
