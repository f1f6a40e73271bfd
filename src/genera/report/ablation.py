"""Ablations: several settings, trained with the same seeds, measured alike and compared."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

from genera.console import say
from genera.data.splits import WHOLE
from genera.engine.config import RunConfig, differences
from genera.engine.folder import RunFolder
from genera.engine.train import train
from genera.errors import GeneraError
from genera.evaluation.evaluate import evaluate
from genera.evaluation.registry import evaluators
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.storage import stored_in
from genera.files import write_json, write_text
from genera.report.compare import comparison_table, write_comparison
from genera.report.markdown import markdown_table
from genera.uses.run import Run


def ablate(
    variants: Mapping[str, RunConfig],
    out: str | Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    evaluation: EvaluateConfig | None = None,
) -> dict[str, Any]:
    """Train and evaluate every variant with every seed in OUT/VARIANT/seed-N, each an ordinary run folder; then write
    OUT/comparison.html, .md and .json: mean ± standard deviation over seeds, and curves. The same call resumes after a
    kill, and can add variants and seeds.

    variants: folder name → config, whose seed is replaced. `genera.configure` creates a config.
    A run that fails in training (non-finite loss) is left out and listed under "failed".
    Returns the result of `comparison_table`, and "failed": [message].

    Raises:
        GeneraError: bad settings, names or seeds; a folder holds a different run; fewer than two runs succeeded.
        Stopped: after Ctrl-C or SIGTERM; the same call resumes.
    """
    _check(variants, seeds)
    out, evaluation = Path(out), evaluation or EvaluateConfig()
    evaluation.check()
    done, failed = [], []
    # Seed by seed, so that an ablation that is stopped early still compares all variants.
    plan = [(seed, name, config) for seed in seeds for name, config in variants.items()]
    for number, (seed, name, config) in enumerate(plan, start=1):
        path = out / name / f"seed-{seed}"
        say(f"[{number}/{len(plan)}] {path}")
        folder = RunFolder(path)
        try:
            train(replace(config, train=replace(config.train, seed=seed)), path)
        except GeneraError as error:
            if folder.status()["state"] != "failed":
                raise
            failed.append(f"{path}: {error}")
            say(f"run failed and is left out: {error}")
            continue
        if not _measured(folder, config, evaluation):
            evaluate(Run.load(path, device=config.train.device), evaluation)
        done.append(path)
    if len(done) < 2:
        raise GeneraError(f"fewer than two runs succeeded, so there is nothing to compare: {'; '.join(failed)}")
    table = comparison_table(done) | {"failed": failed}
    write_comparison(done, out / "comparison.html")
    write_text(out / "comparison.md", markdown_table(table))
    write_json(out / "comparison.json", table)
    return table


def _check(variants: Mapping[str, RunConfig], seeds: Sequence[int]) -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise GeneraError(
            "an ablation runs in one process; with torchrun, train the runs one by one, then: genera compare RUN RUN …"
        )
    if len(set(seeds)) != len(seeds):
        raise GeneraError(f"seeds must differ, got {list(seeds)}.")
    if len(variants) * len(seeds) < 2:
        raise GeneraError(f"an ablation needs at least two runs, got {len(variants)} x {len(seeds)} seeds.")
    for name, config in variants.items():
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise GeneraError(f"{name!r} is not a valid variant name; use letters, digits, dots and dashes.")
        try:
            config.check()
        except GeneraError as error:
            raise GeneraError(f"variant {name}: {error}") from None
    for (first, one), (second, other) in combinations(variants.items(), 2):
        if (one.method, one.preset) == (other.method, other.preset) and not differences(one, other):
            raise GeneraError(f"the variants {first} and {second} are identical; change a setting or drop one.")


def _measured(folder: RunFolder, config: RunConfig, asked: EvaluateConfig) -> bool:
    """Whether the finished run already has the requested evaluation."""
    step, data = folder.status().get("step"), asked.data or config.data.data
    split = asked.split or "test"
    splits = {split, WHOLE, *(part for e in evaluators().values() for part in e.splits.get(split, ()))}
    return any(
        (stored.whole if not asked.measures else set(asked.measures) <= set(stored.results))
        and (stored.data, stored.step, stored.settings) == (data, step, asked.settings)
        and set(stored.split.split(" + ")) <= splits
        for stored in stored_in(folder.path)
    )
