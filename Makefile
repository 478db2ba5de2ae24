# Guichet: two commands a newcomer needs, `make demo` and `make test`; the rest is for those who carry it on.
# Recipes only: what they do is in the scripts they call.

RELEASE := $(or $(CARGO_TARGET_DIR),target)/release
# The counter without retrieval, whose vector engine takes longer to build than all the rest.
COUNTER := $(or $(CARGO_TARGET_DIR),target)/counter
MEASURE := $(COUNTER)/release/guichet-bench
PORT ?= 9400
SECONDS ?= 30
# Further options of `guichet-bench run`, such as BENCH="--rounds 5 --idle 0".
BENCH ?=

# Make compares dates in milliseconds; asking cargo would be most of the start that is measured.
GUICHET_SOURCES = $(shell find gateway rag prompts Cargo.toml Cargo.lock -type f 2>/dev/null)
BENCH_SOURCES = $(shell find tests/bench Cargo.toml Cargo.lock -type f 2>/dev/null)

.PHONY: help demo demo-check demo-eval test lint audit docs fuzz bench bench-gateway bench-ingest bench-scale \
  bench-retrieval bench-capture bench-evaluation

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: ## real open models behind Guichet, from nothing; Ctrl-C stops it
	@python3 deploy/demo/demo.py run

demo-check: ## the same, unattended: fails if any step does
	@python3 deploy/demo/demo.py check

demo-eval: ## a product evaluated on real answers: traffic, people, a judge, report, gate (small models, unattended)
	@python3 deploy/demo/demo.py evaluate

test: ## everything: unit, HTTP, both databases, real clients, real engine
	@tests/run.sh

lint: ## format and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

audit: ## licences, sources and banned crates (installs cargo-deny once)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --locked check bans licenses sources

docs: ## write the pages that are made from the source
	GUICHET_UPDATE=1 cargo test --locked -p tests --test behaviour configuration::examples::the_reference

fuzz: ## look for what breaks the pure functions, SECONDS each (nightly; installs cargo-fuzz once)
	@tests/fuzz/run.sh $(SECONDS)

bench: $(COUNTER)/dist/guichet $(MEASURE) ## beside nginx, in front of the same mock engine (needs nginx)
	$(MEASURE) run $(BENCH)

# Options of `guichet-bench ingest`, such as INGEST="--paces 50,200 --documents 10000".
INGEST ?=

bench-ingest: $(RELEASE)/guichet $(MEASURE) ## how busy ingestion keeps an embedding engine
	$(MEASURE) ingest --gateway $(RELEASE)/guichet $(INGEST)

# Sizes, in chunks; a million takes an hour on two cores.
CHUNKS ?= 10000 100000

bench-scale: ## the embedded vector index at size: CHUNKS="10000 100000"
	cargo bench --locked --package rag --features edge --bench scale -- $(CHUNKS)

# A folder with corpus.jsonl, queries.jsonl and qrels.tsv, and further options: docs/evaluating-retrieval.md.
FILES ?= .
EVAL ?= --method lexical

bench-retrieval: $(RELEASE)/guichet ## how well search answers your questions: FILES=folder EVAL="--method lexical"
	$(RELEASE)/guichet eval retrieval --corpus $(FILES)/corpus.jsonl --queries $(FILES)/queries.jsonl \
	  --qrels $(FILES)/qrels.tsv $(EVAL)

# How many records, and where: SIZE="--usage 10000000 --contents 1000000 --url postgres://…".
SIZE ?=

bench-evaluation: ## samples and a monthly report over ten million requests: SIZE="--url postgres://…"
	CARGO_TARGET_DIR=$(COUNTER) cargo bench --locked --package gateway --no-default-features --features eval,tokenizers \
	  --bench evaluation -- $(SIZE)

bench-capture: $(COUNTER)/dist/guichet $(MEASURE) ## what keeping the content of every request costs
	$(MEASURE) capture --gateway $(COUNTER)/dist/guichet

bench-gateway: $(COUNTER)/dist/guichet ## the gateway alone for a bench from outside; its key is in target/bench.key
	@exec tests/bench/gateway.sh $(COUNTER)/dist/guichet $(PORT)

$(RELEASE)/guichet: $(GUICHET_SOURCES)
	cargo build --release --locked --package gateway --bin guichet
	@touch $@

$(COUNTER)/dist/guichet: $(GUICHET_SOURCES)
	cargo build --profile dist --locked --package gateway --bin guichet --no-default-features --features eval,tokenizers \
	  --target-dir $(COUNTER)
	@touch $@

$(MEASURE): $(BENCH_SOURCES)
	cargo build --release --locked --package guichet-bench --target-dir $(COUNTER)
	@touch $@
