"""Figures of independent implementations, for the same inputs as ours.

Reads {name: {"kind": …, …}} on standard input, prints {name: {figure: value}} on standard output. Each function below is
one kind, and calls the package that is the reference, or says that it computes by itself and how.
"""

import json
import sys
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def wilson(successes, n, level):
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, n, alpha=1 - level, method="wilson")
    return {"low": low, "high": high}


def newcombe(first, second, level):
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff", alpha=1 - level)
    return {"low": low, "high": high}


def clustered_mean(values, clusters, level):
    import statsmodels.api as sm

    fit = sm.OLS(np.array(values), np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(clusters)}, use_t=True
    )
    low, high = fit.conf_int(alpha=1 - level)[0]
    return {"estimate": fit.params[0], "standard_error": fit.bse[0], "low": low, "high": high}


def bootstrap_mean(values, level, method):
    from scipy.stats import bootstrap

    got = bootstrap(
        (np.array(values),), np.mean, confidence_level=level, n_resamples=20_000, method=method, rng=20_261, batch=500
    )
    return {
        "standard_error": float(got.standard_error),
        "low": got.confidence_interval.low,
        "high": got.confidence_interval.high,
    }


def survey(values, level, stratum=None, population=None, probability=None, cluster=None, total=False):
    """samplics, by Taylor's linearization."""
    from samplics import TaylorEstimator
    from samplics.utils.types import PopParam

    values = np.array(values, dtype=float)
    weights = 1 / np.array(probability) if probability else None
    fpc = 1
    if stratum:
        sizes = {name: size for name, size in zip(stratum, population)}
        counts = {name: stratum.count(name) for name in sizes}
        weights = np.array([sizes[name] / counts[name] for name in stratum])
        fpc = {name: 1 - counts[name] / sizes[name] for name in sizes}
    estimator = TaylorEstimator(PopParam.total if total else PopParam.mean, alpha=1 - level)
    estimator.estimate(
        y=values,
        samp_weight=weights,
        stratum=np.array(stratum) if stratum else None,
        psu=np.array(cluster) if cluster else None,
        fpc=fpc,
    )
    return {"estimate": float(estimator.point_est), "standard_error": float(estimator.stderror)}


def judge_corrected(human, judge, judge_alone, level, trust):
    from ppi_py import ppi_mean_ci, ppi_mean_pointestimate
    from scipy.stats import norm

    human, judge, judge_alone = (np.array(values, dtype=float) for values in (human, judge, judge_alone))
    lam = None if trust == "tuned" else 1.0
    point = ppi_mean_pointestimate(human, judge, judge_alone, lam=lam)
    low, high = ppi_mean_ci(human, judge, judge_alone, alpha=1 - level, lam=lam)
    half = (float(high[0]) - float(low[0])) / 2
    return {"estimate": float(np.ravel(point)[0]), "standard_error_n": half / norm.ppf(0.5 + level / 2)}


def cohen(first, second, weights):
    from sklearn.metrics import cohen_kappa_score
    from statsmodels.stats.inter_rater import cohens_kappa, to_table

    k = max(first + second) + 1
    table = np.zeros((k, k))
    for a, b in zip(first, second):
        table[a, b] += 1
    kind = {"none": None, "linear": "linear", "quadratic": "quadratic"}[weights]
    fit = cohens_kappa(table, wt=kind)
    return {
        "estimate": float(fit.kappa),
        "sklearn": float(cohen_kappa_score(first, second, weights=kind, labels=list(range(k)))),
        "standard_error": float(fit.std_kappa),
    }


def fleiss(counts):
    from statsmodels.stats.inter_rater import fleiss_kappa

    return {"estimate": float(fleiss_kappa(np.array(counts), method="fleiss"))}


def alpha(items, metric):
    import krippendorff

    width = max(len(item) for item in items)
    matrix = np.full((width, len(items)), np.nan)
    for place, item in enumerate(items):
        matrix[: len(item), place] = item
    return {"estimate": float(krippendorff.alpha(reliability_data=matrix, level_of_measurement=metric))}


def bradley_terry(models, wins):
    """choix, without ties."""
    import choix

    pairs = [(i, j) for i in range(models) for j in range(models) for _ in range(int(wins[i][j]))]
    return {"strengths": list(map(float, choix.opt_pairwise(models, pairs, alpha=0.0, tol=1e-12)))}


def davidson(models, duels):
    """No package has ties: scipy maximizes the likelihood as Davidson wrote it; errors from its numerical Hessian."""
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    duels = np.array(duels)
    first, second, outcome = duels[:, 0], duels[:, 1], duels[:, 2]

    def loss(parameters):
        strengths = np.append(parameters[: models - 1], -np.sum(parameters[: models - 1]))
        a, b = strengths[first], strengths[second]
        tie = parameters[-1] + (a + b) / 2
        terms = np.stack([a, b, tie])
        return np.sum(logsumexp(terms, axis=0) - terms[outcome, np.arange(len(outcome))])

    start = np.zeros(models)
    fit = minimize(loss, start, method="BFGS", options={"gtol": 1e-6, "maxiter": 2_000})
    step, size = 1e-3, models
    hessian = np.zeros((size, size))
    unit = np.eye(size) * step
    for i in range(size):
        for j in range(size):
            hessian[i, j] = (
                loss(fit.x + unit[i] + unit[j])
                - loss(fit.x + unit[i] - unit[j])
                - loss(fit.x - unit[i] + unit[j])
                + loss(fit.x - unit[i] - unit[j])
            ) / (4 * step * step)
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    strengths = np.append(fit.x[: models - 1], -np.sum(fit.x[: models - 1]))
    return {
        "strengths": strengths.tolist(),
        "tie_rate": float(np.exp(fit.x[-1])),
        "standard_errors": errors[: models - 1].tolist(),
    }


def paired(first, second, level):
    from scipy.stats import ttest_rel

    got = ttest_rel(first, second)
    interval = got.confidence_interval(level)
    return {"estimate": float(np.mean(np.array(first) - np.array(second))), "low": interval.low, "high": interval.high}


def mcnemar(only_first, only_second, n):
    from statsmodels.stats.contingency_tables import mcnemar

    rest = n - only_first - only_second
    return {"p_value": float(mcnemar([[rest, only_first], [only_second, 0]], exact=True).pvalue)}


def holm(p_values):
    from statsmodels.stats.multitest import multipletests

    return {"adjusted": multipletests(p_values, method="holm")[1].tolist()}


def sample_size(effect, alpha, power):
    from statsmodels.stats.power import TTestIndPower, TTestPower

    return {
        "paired": float(TTestPower().solve_power(effect, alpha=alpha, power=power)),
        "means": float(TTestIndPower().solve_power(effect, alpha=alpha, power=power)),
    }


def sample_size_shares(base, difference, alpha, power):
    from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail

    return {
        "n": float(samplesize_proportions_2indep_onetail(difference, base, power, ratio=1, alpha=alpha, value=0))
    }


def retrieval(judged, found, k):
    import pytrec_eval
    from ranx import Qrels, Run, evaluate

    measures = {"map", "recip_rank", f"ndcg_cut.{k}", f"recall.{k}", f"P.{k}", "ndcg"}
    got = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(found)
    queries = {
        name: {
            "average_precision": one["map"],
            "reciprocal_rank": one["recip_rank"],
            "ndcg_cut": one[f"ndcg_cut_{k}"],
            "recall": one[f"recall_{k}"],
            "precision": one[f"P_{k}"],
            "ndcg": one["ndcg"],
        }
        for name, one in got.items()
    }
    # ranx has no rule for ties, and refuses queries without relevant documents: it is asked about the others.
    sound = [name for name, one in judged.items() if any(degree > 0 for degree in one.values())]
    sound = [name for name in sound if len(set(found[name].values())) == len(found[name])]
    told = evaluate(
        Qrels({name: {d: r for d, r in judged[name].items() if r > 0} for name in sound}),
        Run({name: found[name] for name in sound}),
        [f"ndcg@{k}", "mrr", f"recall@{k}", f"precision@{k}", "map"],
    )
    keys = ["ndcg_cut", "reciprocal_rank", "recall", "precision", "average_precision"]
    return {"queries": queries, "ranx": dict(zip(keys, map(float, told.values()))), "ranx_queries": sound}


def texts(answers, references):
    import re

    import jiwer
    from rouge_score import rouge_scorer
    from sacrebleu.metrics import BLEU, CHRF

    class Words:
        def tokenize(self, text):
            return re.findall(r"[^\W_]+", text.lower())

    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False, tokenizer=Words())
    rouge = [scorer.score(reference, answer)["rougeL"] for answer, reference in zip(answers, references)]
    pairs = list(zip(answers, references))
    return {
        "bleu": BLEU().corpus_score(answers, [references]).score,
        "bleu_each": [BLEU(effective_order=True).sentence_score(a, [r]).score for a, r in pairs],
        "chrf": CHRF().corpus_score(answers, [references]).score,
        "chrf_each": [CHRF().sentence_score(a, [r]).score for a, r in pairs],
        "rouge_f1": [one.fmeasure for one in rouge],
        "rouge_precision": [one.precision for one in rouge],
        "rouge_recall": [one.recall for one in rouge],
        "wer": jiwer.wer(references, answers),
        "cer": jiwer.cer(references, answers),
    }


def multiple_references(answers, references):
    from sacrebleu.metrics import BLEU, CHRF

    return {
        "bleu": BLEU().corpus_score(answers, references).score,
        "chrf": CHRF().corpus_score(answers, references).score,
    }


def plain(value):
    return value.item() if isinstance(value, np.generic) else value.tolist()


def main():
    kinds = {name: one for name, one in globals().items() if callable(one)}
    told = {}
    for name, case in json.load(sys.stdin).items():
        told[name] = kinds[case.pop("kind")](**case)
    json.dump(told, sys.stdout, default=plain)


main()
