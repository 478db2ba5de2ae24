"""The evaluation of a product on real answers, from the first request to the gate: `make demo-eval`.

What is real: the requests, the redaction, the samples, the answers of both models, the judge and its failures, every figure.
What is scripted, and said so on screen: the three people who annotate, each with a known bias. The judge is as small as it
must be here, and too small to judge well: that the figures show it is part of what is demonstrated.
"""

import csv
import io
import json
import subprocess
import time

from client import Client
from failure import Failure
from pathlib import Path
from walk import expect

MODEL = "openweight-small"
JUDGE = "openweight-judge"
GRID = Path(__file__).with_name("grid.yaml")
# The prompts of a judge that learns from examples.
PROMPT_FILES = Path(__file__).with_name("prompts")
ORGANIZATION = "Ministère de l'Accueil"

QUESTIONS = [
    "Quels papiers faut-il pour refaire un passeport ?",
    "Comment contester un refus d'aide au logement ?",
    "Quelle est la durée de la période d'essai d'un contrat de travail ?",
    "Comment inscrire mon enfant à la cantine ?",
    "Où déclarer un changement d'adresse ?",
    "Comment demander une carte de stationnement ?",
    "Quel est le délai pour déclarer une naissance ?",
    "Comment obtenir un extrait d'acte de mariage ?",
    "Que faire en cas de perte de carte d'identité ?",
    "Comment voter par procuration ?",
    "Comment obtenir un permis de construire pour un abri de jardin ?",
    "Quelles aides existent pour faire garder un jeune enfant ?",
    "Comment s'inscrire sur les listes électorales ?",
    "Que faire après la perte de la carte grise ?",
    "Comment demander la prime d'activité ?",
    "Où faire légaliser une signature ?",
    "Comment obtenir un duplicata de livret de famille ?",
    "Quand envoyer sa déclaration de revenus ?",
]
# What people annotate of it: ten answers of each prompt are ten different users, the fewest a report shows figures of.
# The judge reads all; of each prompt eight users are its alone, the fewest that a judge is corrected with.
ANNOTATED = 20
# Questions of which the two prompts' answers are compared.
COMPARED = 14
PROMPTS = {
    "court": "Réponds en français, en une seule phrase courte.",
    "long": "Réponds en français à un usager de l'administration, en trois phrases au plus.",
}
# Seconds that an engine may take to come back.
PATIENCE = 180
SECRET = "camille.martin@exemple.fr"

# Who annotates, how, and what is to be seen of it in the figures: (name, answers to « juste », to « clair », length of the
# answer they like best).
ANNOTATORS = [
    ("attentif", lambda text: len(text) > 40, lambda text: 3 if len(text) < 300 else 2, 250),
    ("sévère", lambda text: len(text) > 120, lambda text: 2 if len(text) < 300 else 1, 400),
    ("indulgent", lambda text: True, lambda text: 3, 120),
]


REASONS = {"not_json": "pas le JSON demandé", "off_scale": "hors de l'échelle", "quote_not_literal": "citation inventée"}


class Evaluation:
    def __init__(self, screen, gateway):
        self.screen = screen
        self.gateway = gateway
        self.folder = gateway.folder / "evaluation"
        self.folder.mkdir()

    def all(self):
        steps = (
            self.agree, self.ask, self.draw, self.annotate, self.judge, self.experiment, self.compare, self.prefer, self.report,
            self.gate,
        )
        for step in steps:
            try:
                step()
            except Failure as failure:
                raise Failure(f"étape « {step.__name__} » : {failure}") from failure

    def agree(self):
        self.screen.title("Une administration accepte que le contenu d'un projet soit gardé, masqué d'abord")
        run = self.gateway.command
        self.organization = run("organization", "create", ORGANIZATION)["id"]
        self.project = run("project", "create", "accueil", "--organization", ORGANIZATION, "--data-class", "internal")["id"]
        key = run("key", "create", "--project", "accueil", "--organization", ORGANIZATION, "--name", "demo")
        self.product = Client(self.gateway.port, key["key"])
        self.administrator = self.gateway.administrator()
        self.put(self.administrator, f"/v1/admin/projects/{self.project}/consent", {"notice": "2026-1"})
        self.evaluator = self.member("evaluatrice", evaluates=True)
        self.annotators = [(*annotator, self.member(annotator[0])) for annotator in ANNOTATORS]

    def member(self, name, evaluates=False):
        """A member of the organization: its number, and a client with a key of its own."""
        form = {"email": f"{name}@exemple.org".replace("é", "e"), "name": name, "organization_id": self.organization}
        member = self.post(self.administrator, "/v1/admin/members", form)["id"]
        if evaluates:
            grant = {"role": "evaluator", "organization_id": self.organization}
            self.post(self.administrator, f"/v1/admin/members/{member}/grants", grant)
        key = self.post(self.administrator, "/v1/admin/keys", {"member_id": member})["key"]
        return member, Client(self.gateway.port, key)

    def ask(self):
        self.screen.title(f"{len(QUESTIONS)} usagers posent leur question, sous deux consignes")
        for place, question in enumerate(QUESTIONS):
            for name, prompt in PROMPTS.items():
                text = f"{question} Mon courriel est {SECRET}." if place == 0 else question
                body = {
                    "model": MODEL,
                    "messages": [{"role": "system", "content": prompt}, {"role": "user", "content": text}],
                    "max_tokens": 120,
                    "temperature": 0,
                    "user": f"usager-{place}",
                    "metadata": {"use": name},
                }
                answer = self.answer(body)
                expect(answer["choices"][0]["message"]["content"], "une réponse est vide")
            self.screen.progress(f"  {2 * (place + 1)} / {2 * len(QUESTIONS)} requêtes")
        self.screen.done(f"{2 * len(QUESTIONS)} requêtes répondues")

    def draw(self):
        self.screen.title("Un échantillon tiré avec une graine, dont on fait un jeu de données")
        reader = self.evaluator[1]
        until = time.monotonic() + 30
        while len(reader.call("GET", "/v1/eval/records?limit=1000&held=true")[0]["data"]) < 2 * len(QUESTIONS):
            expect(time.monotonic() < until, "les contenus n'arrivent pas")
            time.sleep(0.2)
        form = {"name": "toutes", "size": 2 * len(QUESTIONS), "by": ["use"], "seed": 7}
        everything = self.post(reader, "/v1/eval/samples", form)
        self.sample = self.post(reader, "/v1/eval/samples", form | {"name": "annotees", "size": ANNOTATED})
        self.dataset = self.post(reader, "/v1/eval/datasets", {"name": "demonstration", "sample_id": everything["id"]})
        items = reader.call("GET", f"/v1/eval/datasets/{self.dataset['id']}/items?limit=1000")[0]["data"]
        text = json.dumps(items, ensure_ascii=False)
        expect(SECRET not in text and "[email]" in text, "le courriel n'est pas masqué")
        self.screen.line(f"  {len(items)} éléments · version {self.dataset['hash'][:16]}… · graine 7")
        self.screen.line(f"  {self.sample['drawn']} à faire relire, autant sous chaque consigne : les personnes sont rares")
        self.screen.line("  « Mon courriel est [email]. » : masqué avant d'être écrit")

    def annotate(self):
        self.screen.title("Trois annotateurs, à l'aveugle, un élément à la fois (scriptés, aux biais connus)")
        reader = self.evaluator[1]
        self.grid = self.post(reader, "/v1/eval/grids", {"document": GRID.read_text()})["id"]
        asked = {"name": "demonstration", "criteria": ["juste", "clair"], "sample_id": self.sample["id"]}

        def answers(item, right, clear, _):
            text = item["answers"][0]["text"]
            return {"juste": right(text), "clair": clear(text)}

        campaign = self.campaign(asked, answers, self.sample["drawn"])
        agreement = reader.call("GET", f"/v1/eval/campaigns/{campaign}/agreement")[0]
        (self.folder / "accord.json").write_text(json.dumps(agreement, ensure_ascii=False, indent=2))
        self.human = self.guichet("eval", "campaign", "export", str(campaign), "--evidence")
        self.screen.line("  accord des personnes (α de Krippendorff ; sous 0,67, on ne conclut pas) :")
        for criterion in agreement["criteria"]:
            self.screen.line(f"    {criterion['criterion']:<10} {self.alpha(criterion['alpha'])}")

    def judge(self):
        self.screen.title("Un juge d'une autre famille relit les mêmes réponses")
        reader = self.evaluator[1]
        ask = {
            "dataset_id": self.dataset["id"], "project_id": self.project, "grid": GRID.read_text(), "criterion": "juste",
            "judges": [JUDGE], "constrained": True, "max_tokens": 256,
        }
        try:
            reader.call("POST", "/v1/eval/judges", ask | {"judges": [MODEL]})
            raise Failure("un modèle a pu juger sa propre famille")
        except Failure as refused:
            expect("→ 400" in str(refused) and "famille" in str(refused), str(refused))
        self.screen.line("  le modèle lui-même : refusé, un juge ne note pas sa famille")
        judged = self.ended(reader, "judges", ask)
        count = judged["judged"]["judges"][JUDGE]
        self.screen.line(f"  {self.counted(count)}")
        self.judged = self.text(reader, f"/v1/eval/judges/{judged['id']}/evidence")
        (self.folder / "juge.json").write_text(json.dumps(judged["judged"], ensure_ascii=False, indent=2))
        self.screen.line(f"  accord du juge avec la plupart des personnes (α de Krippendorff) : {self.together()}")

    def experiment(self):
        self.screen.title("Les mêmes questions soumises aux deux consignes : le coût d'abord")
        reader = self.evaluator[1]
        lines = "\n".join(json.dumps({"id": f"q{place}", "question": text}) for place, text in enumerate(QUESTIONS[:COMPARED]))
        form = {"name": "questions", "organization_id": self.organization, "content": lines, "data_class": "internal"}
        questions = self.post(reader, "/v1/eval/datasets", form)
        ask = {
            "dataset_id": questions["id"], "project_id": self.project, "models": [MODEL], "max_tokens": 120,
            "prompts": [{"name": name, "text": text} for name, text in PROMPTS.items()],
        }
        told = reader.call("POST", "/v1/eval/experiments", ask | {"dry_run": True})[0]["estimate"]
        self.screen.line(f"  {told['requests']} requêtes · {told['tokens_written_at_most']} jetons écrits au plus")
        self.run = self.ended(reader, "experiments", ask)
        expect(self.run["failed"] == 0, f"{self.run['failed']} requêtes ont échoué")

    def compare(self):
        self.screen.title("Les deux consignes comparées, dans les deux ordres")
        reader = self.evaluator[1]
        ask = {
            "experiment_id": self.run["id"], "project_id": self.project, "grid": GRID.read_text(), "judges": [JUDGE],
            "constrained": True, "max_tokens": 256,
        }
        pair = {"criterion": "preferee", "candidate": f"{MODEL}/court", "against": f"{MODEL}/long"}
        judged = self.ended(reader, "judges", ask | pair)
        count = judged["judged"]["judges"][JUDGE]
        self.screen.line(f"  {self.counted(count)}")
        self.screen.line(f"  {count['order_decided']} paires sur {judged['judged']['items']} où l'ordre a décidé : des nuls")
        self.duels = self.text(reader, f"/v1/eval/judges/{judged['id']}/duels")
        self.pairs = self.text(reader, f"/v1/eval/judges/{judged['id']}/evidence")
        self.sides = {}
        for name in PROMPTS:
            one = self.ended(reader, "judges", ask | {"criterion": "juste", "candidate": f"{MODEL}/{name}"})
            self.sides[name] = self.text(reader, f"/v1/eval/judges/{one['id']}/evidence")
        latency = {"experiment_id": self.run["id"], "first": f"{MODEL}/court", "second": f"{MODEL}/long", "metric": "latency"}
        compared = reader.call("POST", "/v1/eval/compare", latency)[0]["difference"]
        self.screen.line(f"  « court » met {compared['estimate']:+.2f} s ({compared['low']:+.2f} à {compared['high']:+.2f})")

    def prefer(self):
        self.screen.title("Les mêmes personnes disent, sans savoir de qui est quoi, laquelle des deux réponses elles préfèrent")
        reader = self.evaluator[1]
        said = {}
        for answer in reader.call("GET", f"/v1/eval/experiments/{self.run['id']}/answers?limit=1000")[0]["data"]:
            said.setdefault(answer["about"]["item"], {})[answer["about"]["prompt"]] = answer["text"]
        rows = [
            {
                "id": f"q{place}", "unit": f"q{place}", "prompt": question,
                "answers": [{"candidate": f"{MODEL}/{name}", "text": said[f"q{place}"][name]} for name in PROMPTS],
            }
            for place, question in enumerate(QUESTIONS[:COMPARED])
        ]
        asked = {"name": "preferences", "criteria": ["preferee"], "rows": rows, "organization_id": self.organization}

        def prefers(item, right, clear, best):
            far = [abs(len(answer["text"]) - best) for answer in item["answers"]]
            return {"preferee": "nul" if far[0] == far[1] else "A" if far[0] < far[1] else "B"}

        campaign = self.campaign(asked, prefers, len(rows))
        for pair in reader.call("GET", f"/v1/eval/campaigns/{campaign}/pairs")[0]["criteria"][0]["pairs"]:
            self.screen.line(f"  {pair['first']} : {pair['wins']} choix, {pair['ties']} nuls, {pair['losses']} pour l'autre")
        words = ("--evidence", "--candidate", f"{MODEL}/court")
        self.preferred = self.guichet("eval", "campaign", "export", str(campaign), *words)

    def report(self):
        self.screen.title("La grille notée, le rapport écrit")
        evidence, duels = self.folder / "preuves.csv", self.folder / "duels.csv"
        evidence.write_text(joined(self.human, self.judged, self.preferred, self.pairs))
        duels.write_text(self.duels)
        scored = json.loads(self.guichet("eval", "grid", "score", str(GRID), "--evidence", str(evidence)))
        for facet in scored["profile"]:
            score = facet["score"]
            said = f"{score['estimate']:.2f} ({score['low']:.2f} à {score['high']:.2f})" if score else facet["state"]
            self.screen.line(f"  {facet['label']['fr']:<36} {said}")
        outputs = [self.folder / f"rapport.{form}" for form in ("html", "md", "json", "csv", "parquet")]
        words = [word for path in outputs for word in ("--output", str(path))]
        more = ["--duels", str(duels)] if self.duels.count("\n") > 1 else []
        self.guichet("eval", "report", str(GRID), "--evidence", str(evidence), "--seed", "echantillon=7", "--prompts", str(PROMPT_FILES), *more, *words)
        self.screen.line(f"  {outputs[0]}")

    def gate(self):
        self.screen.title("« long » peut-il remplacer « court » ?")
        paths = {}
        for name, text in self.sides.items():
            paths[name] = self.folder / f"{name}.csv"
            paths[name].write_text(text)
        words = ["eval", "gate", str(GRID), "--baseline", str(paths["court"]), "--candidate", str(paths["long"])]
        # What the judge is worth was measured where people scored the same answers.
        words += ["--agreement", str(self.folder / "preuves.csv")]
        result = self.process(*words, "--criterion", "juste", "--margin", "0.1", "--text")
        expect(result.returncode in (0, 1, 2), f"la porte n'a pas pu regarder : {result.stderr}")
        for line in result.stdout.strip().splitlines():
            self.screen.line(f"  {line}")
        self.screen.note(f"  code de sortie {result.returncode} (0 passe, 1 régression, 2 non concluant)")

    # What is read out of figures.

    def counted(self, count):
        why = ", ".join(f"{REASONS[reason]} : {times}" for reason, times in count["unreadable"].items())
        said = f"{count['asked']} demandes · {count['read']} verdicts lisibles · {count['failed']} sans réponse"
        return f"{said} · illisibles : {why or 'aucun'}"

    def alpha(self, told):
        if "refused" in told:
            return f"pas de chiffre : {told['refused']['fr']}"
        interval = told["interval"]
        bounds = "sans intervalle" if "refused" in interval else f"{interval['low']:.2f} à {interval['high']:.2f}"
        return f"{told['estimate']:.2f} ({bounds})"

    def together(self):
        """What most people said of an item, beside what the judge said of it."""
        people = {}
        for row in csv.DictReader(io.StringIO(self.human)):
            if row["criterion"] == "juste" and row["value"]:
                people.setdefault(row["item"], []).append(row["value"])
        verdicts = {row["item"]: row["value"] for row in csv.DictReader(io.StringIO(self.judged)) if row["value"]}
        pairs = [(max(set(said), key=said.count), verdicts[item]) for item, said in people.items() if item in verdicts]
        table = self.folder / "juge-et-personnes.csv"
        both = [pair for pair in pairs if pair[1] != "n/a"]
        lines = [f"{place},{yes(one)}" for place, pair in enumerate(both) for one in pair]
        table.write_text("\n".join(["item,label", *lines]) + "\n")
        result = self.process("eval", "stat", "krippendorff-alpha", "--input", str(table), "--set", "metric=nominal")
        told = json.loads(result.stdout)
        if "refused" in told:
            return f"pas de chiffre : {told['refused']['fr']}"
        # Rounded first: there is no « -0.00 ».
        return f"{round(told['result']['alpha']['estimate'], 2) + 0.0:.2f} sur {len(both)} éléments"

    def campaign(self, asked, answers, count):
        """A campaign that all annotators go through; its number."""
        form = asked | {
            "grid": self.grid,
            "per_item": len(self.annotators),
            "annotators": [member for *_, (member, _) in self.annotators],
        }
        campaign = self.post(self.evaluator[1], "/v1/eval/campaigns", form)["id"]
        for name, right, clear, best, (_, client) in self.annotators:
            done = 0
            while item := self.next(client, campaign):
                expect(MODEL not in json.dumps(item), "le modèle n'est pas caché")
                form = {"item": item["item"], "answers": answers(item, right, clear, best)}
                self.post(client, f"/v1/eval/campaigns/{campaign}/annotations", form)
                done += 1
            expect(done == count, f"{name} a annoté {done} éléments")
            self.screen.line(f"  {name:<10} {done} éléments")
        return campaign

    # How it speaks to the gateway.

    def answer(self, body):
        """A chat; asked again for a while where a machine with too much to do does not answer in time."""
        until = time.monotonic() + PATIENCE
        while True:
            answer, _ = self.product.call("POST", "/v1/chat/completions", body, (200, 502, 503, 504))
            if "choices" in answer:
                return answer
            if time.monotonic() > until:
                raise Failure(answer["detail"])
            time.sleep(2)

    def post(self, client, path, body):
        return client.call("POST", path, body, (200, 201))[0]

    def put(self, client, path, body):
        return client.call("PUT", path, body)[0]

    def next(self, client, campaign):
        return client.call("GET", f"/v1/eval/campaigns/{campaign}/next", None, (200, 204))[0]

    def text(self, client, path):
        return client.text(path)

    def ended(self, client, kind, ask):
        """An experiment or a judging, once it ended."""
        made = self.post(client, f"/v1/eval/{kind}", ask)
        until = time.monotonic() + 1800
        while True:
            run = client.call("GET", f"/v1/eval/{kind}/{made['id']}")[0]
            if run["state"] != "running":
                self.screen.clear()
                expect(run["state"] == "done", f"arrêté : {run['reason']}")
                return run
            self.screen.progress(f"  {run['answered'] + run['failed']} / {run['requests']}")
            expect(time.monotonic() < until, f"{kind} ne finit pas : {run}")
            time.sleep(0.5)

    def process(self, *words):
        return subprocess.run(
            [self.gateway.binary, *words],
            cwd=self.folder,
            env=self.gateway.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def guichet(self, *words):
        result = self.process(*words)
        if result.returncode != 0:
            raise Failure(f"guichet {' '.join(words)} : {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout


def yes(value):
    return "oui" if value in ("oui", "true", "1", "yes") else "non"


def joined(*tables):
    """One table of evidence out of several whose columns differ."""
    rows = [row for table in tables for row in csv.DictReader(io.StringIO(table))]
    names = list(dict.fromkeys(name for row in rows for name in row))
    written = io.StringIO()
    writer = csv.DictWriter(written, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()
