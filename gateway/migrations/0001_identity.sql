-- Who may use the counter. The same text serves SQLite and PostgreSQL.
-- Times are Unix milliseconds; ids are small integers handed out by `sequences`.

CREATE TABLE sequences (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

INSERT INTO sequences (name, value) VALUES
    ('organization', 0), ('project', 0), ('member', 0), ('grant', 0), ('key', 0), ('audit', 0);

-- One row, raised by every change of identity in that change's own transaction. Replicas poll it, and its row
-- lock makes changes follow one another on PostgreSQL as they do on SQLite.
CREATE TABLE directory_version (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);

INSERT INTO directory_version (id, version) VALUES (1, 1);

CREATE TABLE organizations (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    archived_at BIGINT
);

CREATE UNIQUE INDEX organizations_name ON organizations (name) WHERE archived_at IS NULL;

CREATE TABLE projects (
    id BIGINT PRIMARY KEY,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    data_class TEXT NOT NULL CHECK (data_class IN ('public', 'internal', 'sensitive')),
    -- What is taken off around an answer: JSON of booleans, `fence` and `preamble`.
    cleaning TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    archived_at BIGINT
);

CREATE UNIQUE INDEX projects_name ON projects (organization_id, name) WHERE archived_at IS NULL;

CREATE TABLE members (
    id BIGINT PRIMARY KEY,
    -- In lower case.
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- Absent: a member of the instance.
    organization_id BIGINT REFERENCES organizations (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE INDEX members_organization ON members (organization_id);

CREATE TABLE grants (
    id BIGINT PRIMARY KEY,
    member_id BIGINT NOT NULL REFERENCES members (id),
    role TEXT NOT NULL CHECK (role IN ('admin', 'manager', 'builder', 'evaluator', 'auditor')),
    -- Both absent: granted on the instance. A project's grant also names its organization.
    organization_id BIGINT REFERENCES organizations (id),
    project_id BIGINT REFERENCES projects (id),
    -- `instance`, `organization:3` or `project:7`: NULLs would escape a unique index.
    scope TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (member_id, role, scope)
);

CREATE TABLE keys (
    -- The part of the key that is not secret.
    public_id TEXT PRIMARY KEY,
    id BIGINT NOT NULL UNIQUE,
    -- SHA-256 of the secret part, in hexadecimal.
    hash TEXT NOT NULL,
    project_id BIGINT REFERENCES projects (id),
    member_id BIGINT REFERENCES members (id),
    label TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Member who made it; absent from the command line.
    created_by BIGINT REFERENCES members (id),
    expires_at BIGINT,
    revoked_at BIGINT,
    CHECK ((project_id IS NULL) <> (member_id IS NULL))
);

CREATE INDEX keys_project ON keys (project_id);
CREATE INDEX keys_member ON keys (member_id);

-- Who changed what, before and after. Never a secret.
CREATE TABLE audit (
    id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    -- `api`, `cli` or `start`.
    via TEXT NOT NULL,
    actor_key TEXT,
    actor_member BIGINT,
    -- Organization concerned; absent for the instance.
    organization_id BIGINT,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    before_state TEXT,
    after_state TEXT
);

CREATE INDEX audit_organization ON audit (organization_id, id);

-- One secret a month, under which end users are made pseudonymous.
CREATE TABLE pseudonym_keys (
    -- `2026-11`, in UTC.
    month TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
