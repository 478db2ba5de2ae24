-- Human evidence: grids as they were used, campaigns of annotation, what each person was given and answered. The same text
-- serves SQLite and PostgreSQL.

INSERT INTO sequences (name, value) VALUES ('grid', 0);
INSERT INTO sequences (name, value) VALUES ('campaign', 0);

-- Grids, as files. One that was used never changes.
CREATE TABLE eval_grids (
    id BIGINT PRIMARY KEY,
    -- Absent: every organization may use it.
    organization_id BIGINT REFERENCES organizations (id),
    -- As the file says them.
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    -- Of the canonical document, in hexadecimal.
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    -- Absent from the command line.
    made_by BIGINT REFERENCES members (id),
    used_at BIGINT
);

CREATE UNIQUE INDEX eval_grids_name ON eval_grids (COALESCE(organization_id, 0), name, version);

CREATE TABLE campaigns (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    -- Absent: over all organizations.
    organization_id BIGINT REFERENCES organizations (id),
    instructions TEXT NOT NULL,
    grid_id BIGINT NOT NULL REFERENCES eval_grids (id),
    -- Ids of criteria, as JSON.
    criteria TEXT NOT NULL,
    sample_id BIGINT REFERENCES samples (id),
    -- People who answer each item.
    per_item BIGINT NOT NULL,
    -- How long an item is held for who was given it, milliseconds.
    lock_ms BIGINT NOT NULL,
    seed BIGINT NOT NULL,
    -- A person looked at the rows given and found nobody in them: they are kept.
    checked BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    made_by BIGINT REFERENCES members (id),
    closed_at BIGINT,
    -- Raised by whoever gives out or takes in: one at a time.
    turns BIGINT NOT NULL
);

CREATE INDEX campaigns_organization ON campaigns (organization_id);

-- Who may annotate. None: whoever evaluates that organization.
CREATE TABLE campaign_annotators (
    campaign_id BIGINT NOT NULL REFERENCES campaigns (id),
    member_id BIGINT NOT NULL REFERENCES members (id),
    PRIMARY KEY (campaign_id, member_id)
);

CREATE INDEX campaign_annotators_member ON campaign_annotators (member_id);

-- What is annotated. The id says nothing.
CREATE TABLE campaign_items (
    id TEXT PRIMARY KEY,
    campaign_id BIGINT NOT NULL REFERENCES campaigns (id),
    place BIGINT NOT NULL,
    -- 1: one answer; 2: a pair.
    answers BIGINT NOT NULL,
    -- Records it shows, or a row given, as JSON: messages, answers, passages. No row is left when its time has come.
    record_id TEXT,
    against_id TEXT,
    content TEXT,
    -- What answered; nobody who annotates is told.
    candidate TEXT,
    against TEXT,
    -- What tables of evidence call it; the independent unit it belongs to, when its row says.
    label TEXT,
    unit TEXT,
    probability DOUBLE PRECISION NOT NULL,
    -- Words of the answer.
    words BIGINT NOT NULL,
    -- Of a gold item, the answer expected to each criterion, as JSON.
    expected TEXT
);

CREATE INDEX campaign_items_campaign ON campaign_items (campaign_id, place);
CREATE INDEX campaign_items_record ON campaign_items (record_id);
CREATE INDEX campaign_items_against ON campaign_items (against_id);

-- One item in one person's hands.
CREATE TABLE campaign_turns (
    item_id TEXT NOT NULL REFERENCES campaign_items (id),
    member_id BIGINT NOT NULL REFERENCES members (id),
    campaign_id BIGINT NOT NULL,
    given_at BIGINT NOT NULL,
    locked_until BIGINT NOT NULL,
    done_at BIGINT,
    -- `answered` or `skipped`.
    outcome TEXT,
    -- Time taken, milliseconds; absent when nobody knows.
    taken_ms BIGINT,
    -- Redacted; goes with the content.
    comment TEXT,
    PRIMARY KEY (item_id, member_id)
);

CREATE INDEX campaign_turns_member ON campaign_turns (campaign_id, member_id);
CREATE INDEX campaign_turns_comments ON campaign_turns (given_at) WHERE comment IS NOT NULL;

CREATE TABLE annotations (
    item_id TEXT NOT NULL REFERENCES campaign_items (id),
    member_id BIGINT NOT NULL REFERENCES members (id),
    criterion TEXT NOT NULL,
    -- Absent: left out on purpose; `na`: not applicable.
    value TEXT,
    PRIMARY KEY (item_id, member_id, criterion)
);
