-- What evaluation keeps: content apart from usage, who agreed to it, what was drawn from it, and the chains by which both
-- logs can be checked. The same text serves SQLite and PostgreSQL.

INSERT INTO sequences (name, value) VALUES ('sample', 0);

-- Projects whose content may be kept. No row: none is.
CREATE TABLE consents (
    project_id BIGINT PRIMARY KEY REFERENCES projects (id),
    -- Version of the notice by which end users were told.
    notice TEXT NOT NULL,
    given_at BIGINT NOT NULL,
    -- Member who said so; absent from the command line.
    given_by BIGINT REFERENCES members (id)
);

-- One row a request whose content was kept. It stays when the content goes.
CREATE TABLE evaluation_records (
    -- Of the request, as in `usage_records`.
    id TEXT PRIMARY KEY,
    -- Place in the chain of this log.
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    end_user TEXT,
    endpoint TEXT NOT NULL,
    streamed BIGINT NOT NULL,
    model TEXT NOT NULL,
    deployment TEXT,
    data_class TEXT NOT NULL,
    language TEXT,
    -- What the caller does with the answer.
    use_case TEXT,
    prompt_id TEXT,
    prompt_version TEXT,
    prompt_hash TEXT,
    outcome TEXT NOT NULL,
    -- Version of the notice in force.
    notice TEXT NOT NULL,
    -- The rule of live sampling that took it; absent: the rate of all.
    rule TEXT,
    -- Chance that live sampling takes such a request.
    probability DOUBLE PRECISION NOT NULL,
    -- How many of each kind were masked, as JSON.
    masked TEXT NOT NULL,
    -- SHA-256 of the salt and the content, in hexadecimal.
    content_hash TEXT NOT NULL,
    purged_at BIGINT,
    -- `age`, `consent` or `erasure`.
    purged_why TEXT
);

CREATE UNIQUE INDEX evaluation_records_seq ON evaluation_records (seq);
CREATE INDEX evaluation_records_organization ON evaluation_records (organization_id, at);
CREATE INDEX evaluation_records_end_user ON evaluation_records (organization_id, end_user);
CREATE INDEX evaluation_records_held ON evaluation_records (at) WHERE purged_at IS NULL;
CREATE INDEX evaluation_records_held_project ON evaluation_records (project_id) WHERE purged_at IS NULL;

-- Redacted content. The salt goes with it, so that nobody can try texts against the hash that stays.
CREATE TABLE evaluation_contents (
    id TEXT PRIMARY KEY,
    salt TEXT NOT NULL,
    -- JSON: `messages`, `answers`, `passages`.
    content TEXT NOT NULL
);

-- Content that a person looked at and keeps for a dataset: it outlives the retention.
CREATE TABLE evaluation_kept (
    record_id TEXT NOT NULL,
    dataset TEXT NOT NULL,
    checked_at BIGINT NOT NULL,
    checked_by BIGINT NOT NULL REFERENCES members (id),
    PRIMARY KEY (record_id, dataset)
);

-- What client applications say of an answer; the last word counts.
CREATE TABLE feedback (
    request_id TEXT PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    project_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- 0 (worst) to 1 (best).
    score DOUBLE PRECISION,
    label TEXT,
    -- Redacted; kept as long as content is.
    comment TEXT,
    masked TEXT
);

CREATE INDEX feedback_project ON feedback (project_id, at);
CREATE INDEX feedback_comments ON feedback (at) WHERE comment IS NOT NULL;

-- What was drawn, how, and the chance that each record had.
CREATE TABLE samples (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    -- Absent: drawn over all organizations.
    organization_id BIGINT REFERENCES organizations (id),
    made_at BIGINT NOT NULL,
    -- Absent from the command line.
    made_by BIGINT REFERENCES members (id),
    seed BIGINT NOT NULL,
    -- The whole request for it, as JSON: drawing again gives the same records.
    asked TEXT NOT NULL,
    captured BIGINT NOT NULL,
    drawn BIGINT NOT NULL
);

CREATE TABLE sample_strata (
    sample_id BIGINT NOT NULL REFERENCES samples (id),
    number BIGINT NOT NULL,
    -- Its values, as JSON.
    name TEXT NOT NULL,
    captured BIGINT NOT NULL,
    -- Requests that the captured ones stand for.
    population DOUBLE PRECISION NOT NULL,
    drawn BIGINT NOT NULL,
    PRIMARY KEY (sample_id, number)
);

CREATE TABLE sample_items (
    sample_id BIGINT NOT NULL REFERENCES samples (id),
    place BIGINT NOT NULL,
    record_id TEXT NOT NULL,
    stratum BIGINT NOT NULL,
    -- Chance of being in the sample: live sampling's times the draw's.
    probability DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (sample_id, place)
);

CREATE INDEX sample_items_record ON sample_items (record_id);

-- What stays of a month when its pseudonyms can no longer be told.
CREATE TABLE monthly_users (
    organization_id BIGINT NOT NULL,
    month TEXT NOT NULL,
    requests BIGINT NOT NULL,
    identified BIGINT NOT NULL,
    users BIGINT NOT NULL,
    PRIMARY KEY (organization_id, month)
);

-- Place of a record in the chain; absent for those stored before there was one.
ALTER TABLE usage_records ADD COLUMN seq BIGINT;

CREATE UNIQUE INDEX usage_records_seq ON usage_records (seq);
CREATE INDEX usage_records_started ON usage_records (started_at);

-- Where each chain ends and, once old blocks are gone, where it begins.
CREATE TABLE log_chains (
    -- `usage` or `evaluation`.
    log TEXT PRIMARY KEY,
    -- Number and hash of the last block, and the next place.
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    next_seq BIGINT NOT NULL,
    -- Number and hash of the last block that retention took away.
    start_number BIGINT NOT NULL,
    start_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

INSERT INTO log_chains (log, number, hash, next_seq, start_number, start_hash, created_at) VALUES
    ('usage', 0, '', 1, 0, '', 0), ('evaluation', 0, '', 1, 0, '', 0);

-- One block a batch. Its hash covers its fields and the hash before it.
CREATE TABLE log_blocks (
    log TEXT NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- `records`, `amend` or `purge`.
    kind TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    records BIGINT NOT NULL,
    -- Latest `started_at` or `at` of its records.
    newest BIGINT NOT NULL,
    -- SHA-256 of the hashes of its records, one after the other; of a purge, what it took away.
    digest TEXT NOT NULL,
    -- The beginning of each of these hashes, to tell which record is wrong.
    marks TEXT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (log, number)
);

-- Records changed by an erasure after they were chained.
CREATE TABLE log_amendments (
    log TEXT NOT NULL,
    -- The block that declares it, and the place in it.
    block BIGINT NOT NULL,
    place BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    hash_before TEXT NOT NULL,
    hash_after TEXT NOT NULL,
    PRIMARY KEY (log, block, place)
);

CREATE INDEX log_amendments_seq ON log_amendments (log, seq);
