-- Datasets, and what is run over them: experiments and judgings. The same text serves SQLite and PostgreSQL.

INSERT INTO sequences (name, value) VALUES ('eval_dataset', 0), ('eval_run', 0);

CREATE TABLE eval_datasets (
    id BIGINT PRIMARY KEY,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL,
    -- SHA-256 of its items: the version.
    hash TEXT NOT NULL,
    -- The highest among its items.
    data_class TEXT NOT NULL,
    -- The sample it holds the records of; absent: imported.
    sample_id BIGINT REFERENCES samples (id),
    items BIGINT NOT NULL,
    -- Lines that were no items, as JSON.
    set_aside TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    made_by BIGINT REFERENCES members (id)
);

CREATE INDEX eval_datasets_organization ON eval_datasets (organization_id);

CREATE TABLE eval_dataset_items (
    dataset_id BIGINT NOT NULL REFERENCES eval_datasets (id),
    place BIGINT NOT NULL,
    -- Of a sample: the record, whose content stays where its retention finds it.
    record_id TEXT,
    probability DOUBLE PRECISION,
    -- Of an import: the item itself, as JSON.
    item TEXT,
    PRIMARY KEY (dataset_id, place)
);

-- One experiment, or one judging.
CREATE TABLE eval_runs (
    id BIGINT PRIMARY KEY,
    -- `experiment` or `judging`.
    kind TEXT NOT NULL,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    -- Who pays for its requests.
    project_id BIGINT NOT NULL REFERENCES projects (id),
    dataset_id BIGINT NOT NULL REFERENCES eval_datasets (id),
    -- Of a judging: the experiment whose answers are judged.
    experiment_id BIGINT REFERENCES eval_runs (id),
    -- What was asked for, as JSON.
    asked TEXT NOT NULL,
    -- What identifies it: versions and hashes, as JSON.
    method TEXT NOT NULL,
    -- `running`, `done` or `stopped`.
    state TEXT NOT NULL,
    -- Why it stopped, in French and English, as JSON.
    reason TEXT,
    requests BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    made_by BIGINT REFERENCES members (id),
    ended_at BIGINT,
    -- The process at work on it, and until when that is believed.
    owner TEXT,
    lease_until BIGINT NOT NULL
);

CREATE INDEX eval_runs_organization ON eval_runs (organization_id);
CREATE INDEX eval_runs_dataset ON eval_runs (dataset_id);
CREATE INDEX eval_runs_running ON eval_runs (id) WHERE state = 'running';

-- One answer of a model, as it came.
CREATE TABLE eval_answers (
    run_id BIGINT NOT NULL REFERENCES eval_runs (id),
    key TEXT NOT NULL,
    -- The record it is about: it goes when that record's content goes.
    record_id TEXT,
    failed BIGINT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (run_id, key)
);

CREATE INDEX eval_answers_record ON eval_answers (record_id) WHERE record_id IS NOT NULL;
