-- the table `bastide_audit` does not exist
CREATE TABLE "bastide_audit" (
    "tenant_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "at" TEXT NOT NULL,
    "actor" TEXT,
    "request" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "entity" TEXT NOT NULL,
    "row" TEXT NOT NULL,
    "before" TEXT,
    "after" TEXT,
    CONSTRAINT "bastide_audit_pkey" PRIMARY KEY ("tenant_id", "id")
) STRICT;
CREATE INDEX "bastide_audit_at_idx" ON "bastide_audit" ("tenant_id", "at");
CREATE INDEX "bastide_audit_row_idx" ON "bastide_audit" ("tenant_id", "row");

-- the table `users` does not exist
CREATE TABLE "users" (
    "tenant_id" TEXT NOT NULL,
    "created_at" TEXT NOT NULL,
    "updated_at" TEXT NOT NULL,
    "deleted_at" TEXT,
    "version" INTEGER NOT NULL,
    "id" TEXT NOT NULL,
    "email" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    CONSTRAINT "users_pkey" PRIMARY KEY ("tenant_id", "id")
) STRICT;
CREATE UNIQUE INDEX "users_email_key" ON "users" ("tenant_id", "email") WHERE "deleted_at" IS NULL;
