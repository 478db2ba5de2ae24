-- Corpora: what is searched and cited. The same text serves SQLite and PostgreSQL; the vector index is derived from it.

INSERT INTO sequences (name, value) VALUES ('collection', 0), ('document', 0), ('chunk', 0), ('removal', 0);

CREATE TABLE collections (
    id BIGINT PRIMARY KEY,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    project_id BIGINT NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    description TEXT,
    -- To its project, its organization, the instance.
    visibility TEXT NOT NULL CHECK (visibility IN ('private', 'shared', 'public')),
    -- At least its project's.
    data_class TEXT NOT NULL CHECK (data_class IN ('public', 'internal', 'sensitive')),
    language TEXT NOT NULL CHECK (language IN ('fr', 'en')),
    -- The model of its vectors, and how many numbers each has.
    embedding_model TEXT NOT NULL,
    dimensions BIGINT NOT NULL,
    -- What it holds; `terms` over `chunks` is the average length that BM25 divides by.
    documents BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    terms BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- Gone for everyone; its rows follow in the background.
    deleted_at BIGINT
);

CREATE INDEX collections_organization ON collections (organization_id, project_id);
CREATE INDEX collections_project ON collections (project_id);
CREATE INDEX collections_visibility ON collections (visibility);

CREATE TABLE documents (
    id BIGINT PRIMARY KEY,
    collection_id BIGINT NOT NULL REFERENCES collections (id),
    name TEXT NOT NULL,
    -- SHA-256 of the file, in hexadecimal; absent for a document that only ever gets chunks.
    content_hash TEXT,
    bytes BIGINT NOT NULL,
    -- Media type its sender gave; absent when none.
    kind TEXT,
    -- JSON objects: what filters look at, and how it is split.
    metadata TEXT NOT NULL,
    options TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('queued', 'parsing', 'splitting', 'embedding', 'indexing', 'done', 'failed')),
    -- Why it failed, or what it waits for.
    reason_fr TEXT,
    reason_en TEXT,
    chunks BIGINT NOT NULL,
    pages BIGINT,
    -- Path in the folder of documents.
    file TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The same file under the same name is the same document.
CREATE UNIQUE INDEX documents_content ON documents (collection_id, name, content_hash);

CREATE TABLE chunks (
    id BIGINT PRIMARY KEY,
    collection_id BIGINT NOT NULL,
    document_id BIGINT NOT NULL REFERENCES documents (id),
    position BIGINT NOT NULL,
    content TEXT NOT NULL,
    -- A JSON object: title, headings, page, and what its sender gave.
    metadata TEXT NOT NULL,
    tokens BIGINT NOT NULL,
    -- 1 once a flush of the index has made it safe.
    indexed BIGINT NOT NULL
);

CREATE INDEX chunks_document ON chunks (document_id, position);
CREATE INDEX chunks_pending ON chunks (document_id) WHERE indexed = 0;

-- In how many chunks of a collection each term occurs, changed with the chunks: rarity comes from here.
CREATE TABLE collection_terms (
    collection_id BIGINT NOT NULL,
    -- A hash of 32 bits.
    term BIGINT NOT NULL,
    documents BIGINT NOT NULL,
    PRIMARY KEY (collection_id, term)
);

-- The queue: one row a document under work.
CREATE TABLE ingestion_jobs (
    document_id BIGINT PRIMARY KEY REFERENCES documents (id),
    organization_id BIGINT NOT NULL,
    stage TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    -- Not to be taken before.
    not_before BIGINT NOT NULL,
    -- Who works on it, until when.
    owner TEXT,
    lease_until BIGINT NOT NULL,
    -- Chunks that can be found, of those there are.
    done BIGINT NOT NULL,
    total BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX ingestion_jobs_organization ON ingestion_jobs (organization_id, created_at);

-- What is deleted and still to be taken out of the index and off the disk: a whole collection, one document, or one
-- chunk. A row stays until that is done, whatever crashes.
CREATE TABLE removals (
    id BIGINT PRIMARY KEY,
    collection_id BIGINT NOT NULL,
    document_id BIGINT,
    chunk_id BIGINT,
    -- Path in the folder of documents.
    file TEXT,
    attempts BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    -- Until then a worker may still be writing what is removed: it is removed once more after.
    keep_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX removals_due ON removals (not_before, id);
