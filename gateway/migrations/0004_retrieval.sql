-- Collections of documents, their chunks, and the queue of what is being ingested. The database is the truth; vectors are
-- made again from it. The same text serves SQLite and PostgreSQL.

INSERT INTO sequences (name, value) VALUES ('collection', 0), ('document', 0), ('chunk', 0);

CREATE TABLE collections (
    id BIGINT PRIMARY KEY,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    -- Whose it is while it is private. Absent: made by a member.
    project_id BIGINT REFERENCES projects (id),
    name TEXT NOT NULL,
    description TEXT,
    visibility TEXT NOT NULL CHECK (visibility IN ('private', 'shared', 'public')),
    data_class TEXT NOT NULL CHECK (data_class IN ('public', 'internal', 'sensitive')),
    language TEXT NOT NULL CHECK (language IN ('fr', 'en')),
    embedding_model TEXT NOT NULL,
    dimensions BIGINT NOT NULL,
    -- Counted as they come and go: documents, chunks, terms of all chunks, bytes of files.
    documents BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    terms BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE INDEX collections_organization ON collections (organization_id);

CREATE TABLE documents (
    id BIGINT PRIMARY KEY,
    collection_id BIGINT NOT NULL REFERENCES collections (id),
    name TEXT NOT NULL,
    -- SHA-256 of the file, hexadecimal.
    content_hash TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    kind TEXT NOT NULL,
    -- JSON objects: fields that filters look at; how it is split.
    metadata TEXT NOT NULL,
    options TEXT NOT NULL,
    status TEXT NOT NULL CHECK (
        status IN ('queued', 'parsing', 'splitting', 'embedding', 'indexing', 'done', 'failed')
    ),
    -- Why it failed, or what it waits for.
    reason_fr TEXT,
    reason_en TEXT,
    chunks BIGINT NOT NULL,
    pages BIGINT,
    -- Path in the folder of documents. Absent: its chunks were given, not a file.
    file TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX documents_collection ON documents (collection_id, name);

CREATE TABLE chunks (
    id BIGINT PRIMARY KEY,
    collection_id BIGINT NOT NULL,
    document_id BIGINT NOT NULL REFERENCES documents (id),
    position BIGINT NOT NULL,
    content TEXT NOT NULL,
    -- A JSON object: title, headings, page…
    metadata TEXT NOT NULL,
    tokens BIGINT NOT NULL,
    -- 1 once the index has it on disk.
    indexed BIGINT NOT NULL
);

CREATE INDEX chunks_document ON chunks (document_id, position);
CREATE INDEX chunks_waiting ON chunks (document_id) WHERE indexed = 0;

-- In how many chunks of a collection a term occurs: `term` is its 32-bit hash.
CREATE TABLE collection_terms (
    collection_id BIGINT NOT NULL,
    term BIGINT NOT NULL,
    documents BIGINT NOT NULL,
    PRIMARY KEY (collection_id, term)
);

-- One row a document under work, held by a lease.
CREATE TABLE ingestion_jobs (
    document_id BIGINT PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    stage TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- Not to be taken before.
    not_before BIGINT NOT NULL,
    owner TEXT,
    lease_until BIGINT NOT NULL,
    -- Chunks indexed, of those there are.
    done BIGINT NOT NULL,
    total BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX ingestion_jobs_organization ON ingestion_jobs (organization_id, created_at);
