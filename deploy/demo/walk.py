"""The job, shown on real input: what Docs asks, what an organization sees of it, what was recorded.

Every step also checks what it shows; `demo-check` is this walk without anyone watching.
"""

import shlex
import time
from pathlib import Path

from client import Client
from failure import Failure
from screen import Flow

MODEL = "openweight-small"
EMBEDDINGS = "openweight-embeddings"
DIMENSIONS = 384

PARAGRAPH = (
    "Nous avons le regret de vous faire connaître que votre demande d'aide au logement n'a pu recevoir une suite "
    "favorable, au motif que les ressources de votre foyer excèdent le plafond en vigueur. Vous disposez d'un délai "
    "de deux mois à compter de la réception de la présente pour former un recours auprès de la commission."
)
REPHRASE = (
    "Reformule le texte en français clair et simple. Garde le sens, la langue et la mise en forme. "
    "Ne réponds que par le texte reformulé."
)
TRANSLATE = "Translate the text into English. Keep the Markdown formatting. Answer with the translation only."
QUESTION = "Comment contester un refus d'aide au logement ?"

CORPUS = Path(__file__).with_name("corpus") / "fiches.jsonl"
ASKED = "Quelle est la durée de la période d'essai d'un contrat de travail temporaire ?"


def expect(true, otherwise):
    if not true:
        raise Failure(otherwise)


class Organization:
    """An organization, one project, one key; and the requests the walk made with it."""

    def __init__(self, gateway, name, project, data_class):
        self.name = name
        self.project = project
        self.data_class = data_class
        gateway.command("organization", "create", name)
        gateway.command("project", "create", project, "--organization", name, "--data-class", data_class)
        key = gateway.command("key", "create", "--project", project, "--organization", name, "--name", "demo")
        self.key = key["key"]
        self.client = Client(gateway.port, self.key)
        self.requests = 0
        self.tokens_in = 0
        self.tokens_out = 0

    def spent(self, usage):
        """Adds one answered request, by the `usage` of its answer."""
        self.requests += 1
        self.tokens_in += usage["prompt_tokens"]
        self.tokens_out += usage.get("completion_tokens", 0)


class Walk:
    def __init__(self, screen, gateway, engines):
        self.screen = screen
        self.gateway = gateway
        self.engines = engines

    def all(self):
        for step in (self.organizations, self.rephrase, self.translate, self.embed, self.usage, self.records, self.load, self.cite):
            try:
                step()
            except Failure as failure:
                raise Failure(f"étape « {step.__name__} » : {failure}") from failure

    def organizations(self):
        self.screen.title("Deux administrations, un projet et une clé chacune")
        self.culture = Organization(self.gateway, "Ministère de la Culture", "docs", "internal")
        self.logement = Organization(self.gateway, "Ministère du Logement", "recherche", "sensitive")
        for one in (self.culture, self.logement):
            self.screen.line(f"  {one.name} · projet {one.project} · données {one.data_class} · clé {one.key[:16]}…")

    def rephrase(self):
        self.screen.title("Un paragraphe à reformuler, avec le corps exact qu'envoie Docs")
        self.screen.quote(PARAGRAPH)
        body = {
            "messages": [{"role": "system", "content": REPHRASE}, {"role": "user", "content": PARAGRAPH}],
            "model": MODEL,
        }
        began = time.monotonic()
        answer, headers = self.culture.client.call("POST", "/v1/chat/completions", body)
        took = time.monotonic() - began
        self.rephrased = (answer["choices"][0]["message"]["content"] or "").strip()
        usage = answer.get("usage") or {}
        expect(self.rephrased, "la réponse est vide")
        expect(self.rephrased != PARAGRAPH, "la réponse est le texte de départ")
        expect(looks_french(self.rephrased), f"la réponse n'est pas en français : {self.rephrased}")
        expect(usage.get("prompt_tokens") and usage.get("completion_tokens"), f"la réponse est sans usage : {usage}")
        expect(headers.get("x-request-id"), "la réponse est sans x-request-id")
        expect(headers.get("x-guichet-hosting"), "la réponse est sans x-guichet-hosting")
        self.culture.spent(usage)
        self.screen.line("  →")
        self.screen.quote(self.rephrased)
        self.screen.note(f"  {took:.1f} s · {usage['completion_tokens']} jetons · traité par : {headers['x-guichet-hosting']}")
        self.screen.note(f"  première réponse {self.screen.seconds():.0f} s après le lancement")

    def translate(self):
        self.screen.title("Le même, traduit en anglais, au fil de l'eau")
        body = {
            "messages": [{"role": "system", "content": TRANSLATE}, {"role": "user", "content": self.rephrased}],
            "model": MODEL,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        began, first, pieces, finish, usage = time.monotonic(), None, [], None, None
        flow = Flow(self.screen)
        for event in self.culture.client.stream("/v1/chat/completions", body):
            usage = event.get("usage") or usage
            for choice in event["choices"]:
                finish = choice.get("finish_reason") or finish
                if piece := choice["delta"].get("content"):
                    first = first or time.monotonic() - began
                    pieces.append(piece)
                    flow.add(piece)
        flow.end()
        expect(len(pieces) > 1, f"la réponse n'est pas venue par morceaux : {pieces}")
        expect(finish == "stop", f"la fin du flux dit {finish!r}")
        expect(usage, "le flux est sans usage")
        expect("".join(pieces).strip() != self.rephrased, "la traduction est le texte de départ")
        self.culture.spent(usage)
        self.screen.note(f"  premier mot après {first:.1f} s · {len(pieces)} morceaux en {time.monotonic() - began:.1f} s")

    def embed(self):
        self.screen.title("Un vecteur, pour la recherche")
        self.screen.quote(f"« {QUESTION} »")
        body = {"model": EMBEDDINGS, "input": f"query: {QUESTION}"}
        answer, _ = self.logement.client.call("POST", "/v1/embeddings", body)
        vector = answer["data"][0]["embedding"]
        expect(len(vector) == DIMENSIONS, f"{len(vector)} nombres au lieu de {DIMENSIONS}")
        length = sum(number * number for number in vector) ** 0.5
        expect(abs(length - 1) < 1e-3, f"le vecteur est de longueur {length}")
        self.logement.spent(answer["usage"])
        first = "  ".join(f"{number:+.4f}" for number in vector[:5])
        self.screen.line(f"  {len(vector)} nombres : {first}  …")

    def usage(self):
        self.screen.title("Ce que chaque administration a consommé (GET /v1/me/usage)")
        for one in (self.culture, self.logement):
            meant = (one.requests, one.tokens_in, one.tokens_out)
            seen = self._settled(lambda client=one.client: total(client), meant)
            expect(seen == meant, f"{one.name} : (requêtes, jetons lus, écrits) {seen} au lieu de {meant}")
            self.screen.line(f"  {one.name:<24} {seen[0]} requête(s) · {seen[1]} jetons lus · {seen[2]} écrits")

    def records(self):
        self.screen.title("Ce qui a été enregistré, sans aucun contenu (GET /v1/admin/records)")
        meant = self.culture.requests + self.logement.requests
        administrator = self.gateway.administrator()
        records = self._settled(lambda: administrator.call("GET", "/v1/admin/records?limit=100")[0]["data"], meant, len)
        expect(len(records) == meant, f"{len(records)} enregistrements au lieu de {meant}")
        for record in sorted(records, key=lambda one: one["started_at"]):
            needed = ["id", "organization_id", "project_id", "key_id", "model_served", "deployment", "hosting"]
            missing = [name for name in needed if not record.get(name)]
            expect(not missing, f"il manque {missing} dans {record}")
            expect(record["status"] == 200 and record["outcome"] == "success", f"pas un succès : {record}")
            expect(record["tokens_in"] > 0 and not record["tokens_estimated"], f"jetons : {record}")
            expect(record["endpoint"] == "embeddings" or record["tokens_out"] > 0, f"jetons : {record}")
            self.screen.line(
                f"  {record['endpoint']:<17} {record['model_served']:<22} {record['deployment']:<12}"
                f" {record['tokens_in']:>4} + {record['tokens_out']:<4} jetons {record['duration_ms']:>6} ms"
                f"  {'flux' if record['streamed'] else 'entier'}"
            )

    def load(self):
        self.screen.title("Un fonds documentaire : 300 passages de fiches du ministère du Travail")
        self.travail = Organization(self.gateway, "Ministère du Travail", "fiches", "internal")
        began = time.monotonic()
        self.gateway.ingest(CORPUS, "fiches", self.travail.key)
        collections = self.travail.client.call("GET", "/v1/collections?limit=10")[0]["data"]
        expect(len(collections) == 1, f"{len(collections)} collections au lieu d'une")
        self.collection = collections[0]["id"]
        self.screen.line(f"  guichet ingest {CORPUS.name} --collection fiches : {time.monotonic() - began:.0f} s")
        self.screen.note("  source et licence : deploy/demo/corpus/README.md")

    def cite(self):
        self.screen.title("Une question, une réponse qui cite ses sources")
        self.screen.quote(f"« {ASKED} »")
        search = {"method": "hybrid", "collections": [self.collection], "k": 4}
        body = {
            "messages": [{"role": "user", "content": ASKED}],
            "model": MODEL,
            "temperature": 0,
            "search": True,
            "search_args": search,
        }
        began = time.monotonic()
        answer, _ = self.travail.client.call("POST", "/v1/chat/completions", body)
        text = (answer["choices"][0]["message"]["content"] or "").strip()
        expect(any(mark.isalpha() for mark in text), f"la réponse ne dit rien : {text!r}")
        citations = answer["citations"]
        expect(citations, "aucun passage n'est allé dans la question")
        expect(
            any("essai" in found["chunk"]["content"].lower() for found in answer["search_results"]),
            "le bon passage n'a pas été trouvé",
        )
        self.screen.line("  →")
        self.screen.quote(text)
        for citation in citations:
            mark = f"[{citation['number']}]" if citation["cited"] else "   "
            self.screen.line(f"  {mark} {citation['title']}")
            if citation["quote"]:
                self.screen.note(f"        « {citation['quote'][:160]} »")
        self.screen.note(f"  {time.monotonic() - began:.1f} s · passages trouvés par les mots et par le sens")
        other = {"query": ASKED, "collection_ids": [self.collection]}
        expect(refused(self.culture.client, other), "une autre administration trouve ces fiches")
        self.screen.line("  La même recherche par le Ministère de la Culture : 404, comme si le fonds n'existait pas.")

    def _settled(self, read, meant, measure=lambda value: value):
        """What `read` gives once it measures `meant`, or after 10 s: records are written in batches."""
        until = time.monotonic() + 10
        while True:
            value = read()
            if measure(value) == meant or time.monotonic() > until:
                return value
            time.sleep(0.1)

    def show_commands(self):
        base = f"http://127.0.0.1:{self.gateway.port}/v1"
        self.screen.title("À refaire à la main")
        for line in (
            f"export OPENAI_BASE_URL={base} OPENAI_API_KEY={self.culture.key}",
            "curl -sN $OPENAI_BASE_URL/chat/completions -H \"Authorization: Bearer $OPENAI_API_KEY\" \\",
            f"  -H 'content-type: application/json' -d {shlex.quote(CURL_BODY)}",
            'curl -s $OPENAI_BASE_URL/me/usage -H "Authorization: Bearer $OPENAI_API_KEY"',
        ):
            self.screen.line(f"  {line}")
        self.screen.line("\n  Avec le client openai (pip install openai), les deux variables ci-dessus suffisent :")
        for line in PYTHON.format(model=MODEL).splitlines():
            self.screen.line(f"    {line}")
        self.screen.line(f"\n  L'administration : clé dans {self.gateway.data / 'admin.key'}")
        self.screen.line(f"  La configuration : {self.gateway.config}")
        self.screen.line(
            f"\n  Le modèle est petit : {self.engines.model.what}, {self.engines.model.bytes / 1e9:.1f} Go, sur processeur."
            "\n  Pour un plus grand, lancez vLLM, Ollama ou llama.cpp et changez `url`, `engine` et `engine_model`"
            "\n  dans cette configuration (exemples en commentaire) ; Guichet la relit sans couper personne."
        )


CURL_BODY = f'{{"model": "{MODEL}", "stream": true, "messages": [{{"role": "user", "content": "Bonjour !"}}]}}'

PYTHON = """from openai import OpenAI
answer = OpenAI().chat.completions.create(
    model="{model}", messages=[{{"role": "user", "content": "Bonjour !"}}])
print(answer.choices[0].message.content)"""


def looks_french(text):
    """True when common French words outnumber common English ones."""
    words = text.lower().replace("'", " ").replace("’", " ").split()
    french = sum(word in {"le", "la", "les", "de", "des", "du", "et", "vous", "votre", "nous", "pour", "que"} for word in words)
    english = sum(word in {"the", "of", "and", "you", "your", "we", "for", "that", "to", "is"} for word in words)
    return french > english


def total(client):
    """(requests, tokens in, tokens out) of the caller's project, as the gateway counts them."""
    buckets = client.call("GET", "/v1/me/usage")[0]["data"]
    return tuple(sum(bucket[name] for bucket in buckets) for name in ("requests", "prompt_tokens", "completion_tokens"))


def refused(client, search):
    """Whether the collections of a search do not exist for this client."""
    try:
        client.call("POST", "/v1/search", search)
    except Failure as failure:
        return "→ 404" in str(failure)
    return False
