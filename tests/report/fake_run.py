"""A run folder as a trained and evaluated text VAE leaves it, made without training."""

import json
import math
import random

from genera.evaluation.blocks import Bars, Curves, Examples, Line, Scatter, Shares
from genera.evaluation.evaluator import diagnose
from genera.evaluation.registry import definitions, evaluators
from genera.files import read_json, write_json, write_text, write_yaml
from genera.measures.schema import Figure, Figures
from genera.worlds.captions import CAPTIONS

HOSTILE = "<script>alert('a & b')</script> a man is holding a kite ."

FIGURES = {
    "healthy": {
        "reconstruction": 4.67,
        "kl": 17.5,
        "elbo": -22.2,
        "iw_bound/K=10": -20.2,
        "iw_bound": -19.0,
        "ppl_word": 3.83,
        "ppl_token": 3.51,
        "ppl_token_bos_eos": 3.22,
        "log_likelihood_of_world": -16.72,
        "mi": 7.52,
        "mi_ceiling": math.log(2000),
        "au": 32,
        "latent_size": 32,
        "likelihood_lost_on_swap": 61.4,
        "exact_reconstruction": 0.986,
        "bleu_reconstruction": 99.1,
        "bleu_unrelated": 4.4,
        "distinct_reconstructions": 0.99,
        "distinct_inputs": 0.99,
        "factor_accuracy_reconstruction": 0.995,
        "grammatical_samples": 0.88,
        "novel": 0.97,
        "distinct_1": 0.021,
        "distinct_2": 0.13,
        "self_bleu": 62.3,
        "vocabulary_coverage": 0.99,
        "grammatical_interpolations": 0.998,
        "monotone_interpolations": 0.99,
        "distinct_interpolations": 5.8,
        "factor_accuracy_analogy": 0.991,
        "analogy_exact": 0.962,
    }
}
FIGURES["collapsed"] = FIGURES["healthy"] | {
    "reconstruction": 16.72,
    "kl": 0.01,
    "elbo": -16.73,
    "iw_bound/K=10": -16.73,
    "iw_bound": -16.73,
    "ppl_word": 3.25,
    "ppl_token": 3.01,
    "ppl_token_bos_eos": 2.77,
    "mi": -0.07,
    "au": 0,
    "likelihood_lost_on_swap": 0.02,
    "exact_reconstruction": 0.0,
    "bleu_reconstruction": 14.2,
    "grammatical_samples": 1.0,
    "factor_accuracy_analogy": 0.11,
    "analogy_exact": 0.0,
}


def make_run(path, health="healthy", seed=0, items=2000, split="test", steps=3125):
    """Write config.yaml, metrics.jsonl, status.json and an evaluation into `path`, and return it."""
    draw = random.Random(seed)
    figures = FIGURES[health]
    sentences = CAPTIONS.sentences(400, seed, "test")
    write_yaml(
        path / "config.yaml",
        {
            "genera": "0.1.0",
            "method": "optimus",
            "preset": "nano",
            "data": {"data": "world:captions", "max_words": 64, "vocabulary": 8000},
            "train": {"epochs": 4.0, "batch_size": 64, "seed": seed, "precision": "fp32"},
            "model": {"latent_size": 32, "beta_schedule": "cyclical", "free_bits": 0.5 * (health == "healthy")},
        },
    )
    write_text(path / "metrics.jsonl", "".join(json.dumps(r) + "\n" for r in log_rows(figures, steps, draw)))
    write_json(path / "status.json", {"state": "done", "step": steps, "seconds": 151.2, "ranks": 1})
    blocks = [block.plain() for block in blocks_of(figures, sentences, draw)]
    write_evaluation(path, figures, items=items, split=split, step=steps, blocks=blocks)
    return path


def evaluation_file(run):
    """The one evaluation of a run that `make_run` made."""
    (file,) = (run / "evaluations").glob("*.json")
    return file


def write_evaluation(run, figures, *, items=2000, split="test", step=3125, blocks=(), data="world:captions", **changes):
    """A stored evaluation of these figures ({key: value, or a Figure}), as one evaluator's."""
    figures = [value if isinstance(value, Figure) else figure_of(key, value, items) for key, value in figures.items()]
    known = definitions()
    entry = {
        "question": "All of it?",
        "options": {},
        "seconds": 38.4,
        "figures": [vars(figure) for figure in figures],
        "blocks": list(blocks),
        "facts": {},
        "measures": [vars(known[name]) for name in dict.fromkeys(figure.measure for figure in figures)],
    }
    findings = diagnose(Figures(figures), list(evaluators().values()))
    stored = {
        "method": "optimus",
        "preset": "nano",
        "data": data,
        "split": split,
        "step": step,
        "settings": {},
        "written": 1000.0,
        "results": {"everything": entry},
        "diagnosis": [vars(finding) for finding in findings],
        "whole": True,
    }
    file = run / "evaluations" / f"{data.replace(':', '-')}.{split}.step-{step}.json"
    write_json(file, stored | changes)
    return file


def figure_of(key, value, n):
    measure, _, samples = key.partition("/K=")
    error = abs(value) * 0.004 if isinstance(value, int | float) else None
    return Figure(measure, value, error, n, samples=int(samples) if samples else None)


def change(run, *, blocks=None, **changes):
    """Replace fields of the stored evaluation, and of its one evaluator's result."""
    file = evaluation_file(run)
    stored = read_json(file)
    stored["results"]["everything"] |= {} if blocks is None else {"blocks": [block.plain() for block in blocks]}
    write_json(file, stored | changes)


def log_rows(figures, steps, draw):
    for step in range(25, steps + 1, 25):
        at = step / steps
        beta = min(1.0, max(0.0, (at - 0.5) / 0.25))
        kl = figures["kl"] * (1 + 7 * (1 - beta) * min(1, 3 * at))
        reconstruction = figures["reconstruction"] * (1 + 0.2 * math.sin(9 * at)) + 55 * math.exp(-9 * at)
        row = {
            "step": step,
            "epoch": round(4 * at, 3),
            "seconds": round(151.2 * at, 2),
            "loss": reconstruction + beta * kl + draw.gauss(0, 0.4),
            "reconstruction": reconstruction + draw.gauss(0, 0.3),
            "kl": kl + draw.gauss(0, 0.3),
            "beta": beta,
            "lr": 1e-3 * min(1, step / 100) * (1 - 0.999 * at),
            "grad_norm": 1 + 6 * math.exp(-6 * at) + abs(draw.gauss(0, 0.2)),
            "items_per_second": draw.gauss(1320, 30),
            "memory_mb": 412 + 30 * min(1, 8 * at),
        }
        yield row
        if step % 250 == 0:
            terms = ("loss", "reconstruction", "kl")
            yield {"step": step, "epoch": row["epoch"]} | {f"valid/{t}": row[t] * draw.gauss(1.02, 0.01) for t in terms}


def blocks_of(figures, sentences, draw):
    names = list(CAPTIONS.factors)
    labels = {name: [CAPTIONS.factors_of(s).get(name, "none") for s in sentences] for name in names[:6]}
    centres = {value: (draw.gauss(0, 4), draw.gauss(0, 4)) for value in sorted(set(labels[names[2]]))}
    points = [tuple(c + draw.gauss(0, 0.9) for c in centres[value]) for value in labels[names[2]]]
    exact = figures["exact_reconstruction"] > 0.5
    outputs = sentences[:8] if exact else [sentences[50]] * 8
    outputs[3] = sentences[3].replace(" is ", " was ")
    pairs = zip(sentences[:8], outputs, strict=True)
    kl = [abs(draw.gauss(figures["kl"] / 32, 0.1)) for _ in range(32)]
    lengths = [(8, 2.1), (10, 3.2), (12, 4.4), (14, 5.1), (16, 6.0), (18, 7.2)]
    chance = (0.3, 0.5, 0.06, 0.5, 0.5, 0.5, 0.34, 0.09, 0.07, 0.17, 0.06, 0.5)
    latent = "Latent space"
    return [
        Scatter(section=latent, points=points, texts=sentences, labels=labels, method="PCA"),
        Bars(section=latent, title="KL", values=kl, labels=[f"dimension {i}" for i in range(32)], y="nats"),
        Curves(section=latent, title="Nats by length", series={"nats": lengths}, x="words", y="nats", from_zero=True),
        Examples(
            section="Reconstructions",
            cards=[[Line(text=a, role="input"), Line(text=b, role="output", right=a == b)] for a, b in pairs],
            compare=True,
        ),
        Examples(section="Samples", cards=[[Line(text=text)] for text in (HOSTILE, *sentences[60:79])]),
        Examples(
            section="Interpolations",
            cards=[
                [Line(text=text, role=f"{i / 10:.1f}") for i, text in enumerate(path(a, b))]
                for a, b in (sentences[20:22], sentences[30:32])
            ],
            compare=True,
        ),
        Examples(section="Analogies", cards=analogies(9, 0), compare=True),
        Shares(
            section="Factors",
            values={
                name: {"right": draw.uniform(0.93, 1), "chance": share}
                for name, share in zip(names, chance, strict=False)
            },
            bar="right",
            mark="chance",
        ),
    ]


def path(start, end, steps=11):
    """Words of the end move in from the left, two steps at a time."""
    a, b = start.split(), end.split()
    return [" ".join(b[: round(len(b) * (i // 2) / 5)] + a[round(len(a) * (i // 2) / 5) :]) for i in range(steps)]


def analogies(count, seed):
    """The answers of a good model, but for one that keeps the factor of C."""
    cards = []
    for place, analogy in enumerate(CAPTIONS.analogies(count, seed)):
        output = analogy.answer if place else analogy.c
        cards.append(
            [
                Line(text=analogy.a, role="A"),
                Line(text=analogy.b, role="B"),
                Line(text=analogy.c, role="C", anew=True),
                Line(text=output, role="answer", right=output == analogy.answer),
                *([] if output == analogy.answer else [Line(text=analogy.answer, role="expected")]),
            ]
        )
    return cards
