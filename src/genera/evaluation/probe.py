"""How few labels a classifier on a model's features needs, compared with baselines that see the same labels."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student_t
from sklearn.manifold import TSNE

from genera.console import say, track
from genera.engine import registry
from genera.engine.capabilities import Features
from genera.errors import GeneraError
from genera.evaluation.item_types import ITEM_TYPES, ItemType, item_type
from genera.evaluation.label_blocks import probe_blocks
from genera.files import write_json
from genera.measures.classifiers import accuracy, f1, logistic_regression, matthews
from genera.uses.fine_tuning import FineTuned, read
from genera.uses.guide import learning_rate
from genera.uses.labelled import Labelled, read_labelled
from genera.uses.run import Run
from genera.uses.settings import ProbeConfig

Rows = NDArray[np.int64]
Learner = Callable[[Rows, int], NDArray[np.int64]]
"""(rows of the training items, seed) → the predicted classes of all test items"""

SHOTS = (1, 5, 10, 25, 50, 100, 500, 1000)
FEW = 100
"""Up to this number of shots the variance over draws is largest, and all draws are made."""
ENCODED_AT_ONCE = 512
FINE_TUNING_LR = 0.4
"""Fine-tuning rate as a share of the run's learning rate: as published, 2e-5 for training at 5e-5."""
FROZEN, TUNED, UNTRAINED = "features", "fine-tuned", ", untrained"


def probe(run: "Run", config: ProbeConfig | None = None) -> dict[str, Any]:
    """Learning curves over the number of labelled items per class; writes RUN/probe.json and returns its content.

    Compares features (frozen with logistic regression, or fine-tuned) with those of the same encoder with fresh
    weights, those of other runs (`against`), and logistic regression without a model (on TF-IDF or pixels). All use the
    same draws and test items.

    Raises GeneraError for a method without features, data without usable labels, or more shots than items per class.
    """
    config = config or ProbeConfig()
    config.check()
    kind = item_type(run.method.dataset.kind)
    run.folder.check_writable()
    model = run.able(Features, "encode items into features")
    others = {Path(path).name: _other(path, run.device) for path in config.against}
    data = read_labelled(run, config, config.seed)
    shots = _shots(config, data)
    started = time.monotonic()
    plan = {n: [_drawn(data, n, config.seed, draw) for draw in range(_draws(n, config))] for n in shots}
    used = np.unique(np.concatenate([rows for draws in plan.values() for rows in draws]))
    fresh = _untrained(run)

    say(f"{data.source}: {len(data.train)} training and {len(data.test)} test items, classes {data.counts}")
    apart = config.pairs == "apart"
    frozen = {FROZEN: model, FROZEN + UNTRAINED: fresh} | {f"{FROZEN}, {name}": m for name, m in others.items()}
    learners: dict[str, Learner] = {name: _frozen(m, data, used, apart) for name, m in frozen.items()}
    if config.tuned:
        lr = config.tune_lr or FINE_TUNING_LR * learning_rate(run, "--tune-lr")
        learners |= {TUNED: _tuned(model, data, config, lr), TUNED + UNTRAINED: _tuned(fresh, data, config, lr)}
    learners[kind.appearance] = _by_appearance(kind, data)
    curves = {}
    for name, learner in learners.items():
        most = config.tune_draws if name.startswith(TUNED) else config.draws
        curves[name] = [_point(n, plan[n][:most], learner, data, config.seed) for n in track(shots, name)]

    written: dict[str, Any] = {
        "method": run.config.method,
        "preset": run.config.preset,
        "step": run.step,
        "data": data.source,
        "labels": data.counts,
        "test_items": len(data.test),
        "chance": float(np.bincount(data.test_classes).max() / len(data.test)),
        "settings": asdict(config),
        "seconds": round(time.monotonic() - started, 1),
        "curves": curves,
        "findings": findings(curves),
        "map": _map(model, data, config, apart, kind),
    }
    written["blocks"] = [block.plain() for block in probe_blocks(written)]
    del written["map"]  # a block now
    write_json(run.folder.path / "probe.json", written)
    return written


# what is compared


def _frozen(model: Any, data: Labelled, used: Rows, apart: bool) -> Learner:
    """Logistic regression on standardised features of a frozen model."""
    items = [data.train[i] for i in used]
    train, test = features_of(model, items, apart), features_of(model, data.test, apart)
    mean, spread = train.mean(0), train.std(0) + 1e-8
    train, test = (train - mean) / spread, (test - mean) / spread

    def learn(rows: Rows, seed: int) -> NDArray[np.int64]:
        fitted = logistic_regression().fit(train[np.searchsorted(used, rows)], data.train_classes[rows])
        return fitted.predict(test)

    return learn


def _tuned(model: Any, data: Labelled, config: ProbeConfig, lr: float) -> Learner:
    classifier = FineTuned(model, len(data.names), config, lr)

    def learn(rows: Rows, seed: int) -> NDArray[np.int64]:
        return classifier.fit([data.train[i] for i in rows], data.train_classes[rows], seed).predict(data.test)

    return learn


def _by_appearance(kind: ItemType, data: Labelled) -> Learner:
    classifier = kind.classifier(data.train)
    return lambda rows, seed: classifier.fit(rows, data.train_classes[rows]).predict(data.test)


@torch.no_grad()
def features_of(model: Any, items: Sequence[Any], apart: bool = False) -> NDArray[np.float64]:
    """(N, H); of pairs that are read apart (N, 4H)"""
    parts = [items[i : i + ENCODED_AT_ONCE] for i in range(0, len(items), ENCODED_AT_ONCE)]
    return torch.cat([read(model, part, apart).double().cpu() for part in track(parts, "encoding")]).numpy()


def _untrained(run: "Run") -> Any:
    """The same method and size with fresh weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.config.train.seed)
        method = registry.entry(run.config.method).load()(run.config.model, run.method.assets)
    return method.to(run.device).eval()


def _other(path: str, device: torch.device) -> Any:
    return Run.load(path, device=str(device)).able(Features, "encode items into features")


# draws and figures


def _shots(config: ProbeConfig, data: Labelled) -> tuple[int, ...]:
    smallest, size = min(data.counts.items(), key=lambda pair: pair[1])
    if not config.shots:
        return tuple(n for n in SHOTS if n <= size)
    if max(config.shots) > size:
        raise GeneraError(
            f"{max(config.shots)} shots per class requested, but label {smallest!r} has {size} training items; "
            f"give at most {size}, or more items."
        )
    return tuple(sorted(config.shots))


def _draws(shots: int, config: ProbeConfig) -> int:
    return config.draws if shots <= FEW else max(2, config.draws // 3)


def _drawn(data: Labelled, shots: int, seed: int, draw: int) -> Rows:
    """`shots` training rows of each class, without replacement."""
    random = np.random.default_rng([seed, shots, draw])
    members = (np.flatnonzero(data.train_classes == c) for c in range(len(data.names)))
    return np.concatenate([random.choice(rows, shots, replace=False) for rows in members])


def _point(shots: int, draws: list[Rows], learner: Learner, data: Labelled, seed: int) -> dict[str, Any]:
    answers = [learner(rows, seed + draw) for draw, rows in enumerate(draws)]
    hits = [accuracy(answer, data.test_classes) for answer in answers]
    return {
        "shots": shots,
        "accuracy": float(np.mean(hits)),
        "sd": float(np.std(hits, ddof=1)),
        "matthews": float(np.mean([matthews(answer, data.test_classes) for answer in answers])),
        **(
            {"f1": float(np.mean([f1(answer, data.test_classes) for answer in answers]))}
            if len(data.names) == 2
            else {}
        ),
        "draws": hits,
    }


def findings(curves: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The significant differences, in words, by a paired t-test over the shared draws (p < 0.05)."""
    appearances = [known.appearance for known in ITEM_TYPES.values()]
    pairs = [(ours, rival) for ours in (FROZEN, TUNED) for rival in (*appearances, ours + UNTRAINED)]
    pairs += [(FROZEN, name) for name in curves if name.startswith(f"{FROZEN}, ") and name != FROZEN + UNTRAINED]
    return [_verdict(a, b, curves[a], curves[b]) for a, b in pairs if a in curves and b in curves]


def _verdict(ours: str, rival: str, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> str:
    margins = {}
    for a, b in zip(first, second, strict=True):
        both = min(len(a["draws"]), len(b["draws"]))
        difference = np.subtract(a["draws"][:both], b["draws"][:both])
        error = difference.std(ddof=1) / np.sqrt(both)
        settled = abs(difference.mean()) > student_t.ppf(0.975, both - 1) * error
        margins[a["shots"]] = difference.mean() if settled else 0.0
    parts = []
    for winner, sign in ((ours, 1), (rival, -1)):
        if won := {n: sign * m for n, m in margins.items() if sign * m > 0}:
            least, most = 100 * min(won.values()), 100 * max(won.values())
            by = f"{most:.1f}" if least == most else f"{least:.1f} to {most:.1f}"
            parts.append(f"{winner} wins at {_numbers(won)} by {by} points")
    if level := [n for n, m in margins.items() if m == 0]:
        parts.append(f"no significant difference at {_numbers(level)}")
    return f"{ours} against {rival}: {'; '.join(parts)} (shots per class)."


def _numbers(values: Any) -> str:
    return ", ".join(map(str, values))


def _map(model: Any, data: Labelled, config: ProbeConfig, apart: bool, kind: ItemType) -> dict[str, Any] | None:
    """t-SNE of the test items' features."""
    items, classes = data.test[: config.map_items], data.test_classes[: config.map_items]
    if len(items) < 4:
        return None
    points = np.asarray(features_of(model, items, apart), np.float32)
    perplexity = min(30.0, (len(items) - 1) / 3)
    placed = TSNE(2, init="pca", perplexity=perplexity, random_state=config.seed).fit_transform(points)
    labels = [data.names[c] for c in classes]
    return {"method": "t-SNE", "points": placed.round(2).tolist(), "texts": kind.captions(items), "labels": labels}
