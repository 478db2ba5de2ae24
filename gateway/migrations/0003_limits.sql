-- How much organizations may use, beside the plans of the configuration. The same text serves SQLite and PostgreSQL.

-- One row, raised by every change of a limit in that change's own transaction: replicas poll it.
CREATE TABLE limits_version (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);

INSERT INTO limits_version (id, version) VALUES (1, 1);

CREATE TABLE organization_quotas (
    organization_id BIGINT PRIMARY KEY REFERENCES organizations (id),
    -- Name of a plan of the configuration; absent: its default plan.
    plan TEXT,
    -- Share of a busy model, over the plan's.
    weight BIGINT
);

CREATE TABLE project_quotas (
    project_id BIGINT PRIMARY KEY REFERENCES projects (id),
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    -- Percent of each of the organization's limits that the others may not eat.
    guaranteed BIGINT,
    -- Percent of each of the organization's limits that it may not pass.
    ceiling BIGINT,
    -- Share of the organization's place in line.
    weight BIGINT
);

-- One limit of one holder, over the plan's.
CREATE TABLE limit_overrides (
    scope TEXT NOT NULL CHECK (scope IN ('organization', 'project', 'key', 'member')),
    -- Number of the organization, project or member; public id of the key.
    holder TEXT NOT NULL,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    -- `*`, a group of the configuration, or a model's id.
    models TEXT NOT NULL,
    -- `tokens/day`, `concurrent`.
    kind TEXT NOT NULL,
    -- Absent: the plan's limit is lifted.
    value BIGINT,
    PRIMARY KEY (scope, holder, models, kind)
);

CREATE INDEX limit_overrides_organization ON limit_overrides (organization_id);

-- Warnings sent, so that each goes out once whatever the replicas and restarts.
CREATE TABLE limit_warnings (
    counter TEXT NOT NULL,
    -- End of the day or month, Unix milliseconds.
    window_end BIGINT NOT NULL,
    -- 80 or 100.
    level BIGINT NOT NULL,
    told_at BIGINT NOT NULL,
    PRIMARY KEY (counter, window_end, level)
);

-- Monthly active users that a product counts itself, where too few requests name theirs.
CREATE TABLE attested_users (
    project_id BIGINT NOT NULL REFERENCES projects (id),
    -- `2026-11`.
    month TEXT NOT NULL,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    users BIGINT NOT NULL,
    -- Who says so, and how they counted.
    source TEXT NOT NULL,
    attested_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, month)
);

CREATE INDEX attested_users_organization ON attested_users (organization_id, month);
