-- One row a request: metadata, never content. No foreign keys: a record outlives what it names, and the only hot
-- insert stays cheap.
CREATE TABLE usage_records (
    id TEXT PRIMARY KEY,
    started_at BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    project_id BIGINT,
    member_id BIGINT,
    key_id TEXT NOT NULL,
    end_user TEXT,
    endpoint TEXT NOT NULL,
    streamed BIGINT NOT NULL,
    model_asked TEXT NOT NULL,
    model_served TEXT,
    deployment TEXT,
    hosting TEXT,
    data_class TEXT NOT NULL,
    prompt_id TEXT,
    prompt_version TEXT,
    prompt_hash TEXT,
    parameters TEXT,
    tokens_in BIGINT NOT NULL,
    tokens_out BIGINT NOT NULL,
    tokens_cached BIGINT,
    tokens_reasoning BIGINT,
    tokens_estimated BIGINT NOT NULL,
    first_token_ms BIGINT,
    duration_ms BIGINT NOT NULL,
    status BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    error_code TEXT,
    finish_reason TEXT,
    client_retry BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    energy_wh DOUBLE PRECISION,
    carbon_g DOUBLE PRECISION,
    impact_method TEXT
);

CREATE INDEX usage_records_organization ON usage_records (organization_id, started_at);
CREATE INDEX usage_records_project ON usage_records (project_id, started_at);
