"""A trained model from its run folder, and what can be done with it: three lines from a folder to a use."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genera.engine.config import from_dict
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.storage import Stored
from genera.uses import run as core
from genera.uses.settings import GuideConfig, ProbeConfig


def load(path: str | Path, *, device: str = "auto", checkpoint: str = "last") -> "Run":
    """The trained model of the run folder `path`, on any device; needs no data.

    checkpoint: last, best, previous or a step number.
    Raises GeneraError when there is no run, no checkpoint, or a damaged one.
    """
    return Run.load(path, device=device, checkpoint=checkpoint)


class Run(core.Run):
    """A loaded run with all its uses."""

    def evaluate(self, *, measures: Sequence[str] = (), **settings: Any) -> Stored:
        """Measure the model on held-out data, as `genera evaluate`, into RUN/evaluations/.

        measures: these evaluators alone. settings: fields of EvaluateConfig (data, split, seed, …), and the options of
        evaluators by name: `run.evaluate(data="text:mine.txt", likelihood={"samples": 10})`.
        """
        from genera.evaluation.evaluate import evaluate

        own = {name: settings.pop(name) for name in EvaluateConfig.__dataclass_fields__ if name in settings}
        return evaluate(self, EvaluateConfig(**own), measures=measures, **settings)

    def report(self, *, evaluation: str | None = None) -> Path:
        """Write RUN/report.html, as `genera report`, and return its path. evaluation: the name of the one to show."""
        from genera.report.page import write_report

        return write_report(self.folder.path, evaluation=evaluation)

    def describe(self, paths: Sequence[Mapping[str, Any]], *, seed: int = 0, **options: Any) -> list[str]:
        """An instruction for each path {"scan": …, "path": [viewpoint, …], "heading": radians (default 0)}, as
        `genera describe`. options: see `genera.uses.describe.describe`."""
        from genera.uses.describe import describe

        return describe(self, paths, seed=seed, **options)

    def probe(self, **settings: Any) -> dict[str, Any]:
        """Learning curves of classifiers on the features, as `genera probe`. Settings are fields of ProbeConfig."""
        from genera.evaluation.probe import probe

        return probe(self, from_dict(ProbeConfig, settings, "probe"))

    def guide(self, label: str, count: int = 10, *, seed: int = 0, decoding: Any = None, **settings: Any) -> list[Any]:
        """`count` items that carry `label`, as `genera guide`. Settings are fields of GuideConfig; decoding is a
        mapping of the method's options (text: temperature, top_k, top_p, max_tokens)."""
        from genera.uses.guide import guide

        config = from_dict(GuideConfig, settings, "guide")
        return guide(self, label, count, config, seed=seed, **(decoding or {}))

    def score_guide(self, count: int = 100, *, seed: int = 0, **settings: Any) -> dict[str, Any]:
        """Measure a guide on `count` items of each label, as `genera guide --score`."""
        from genera.evaluation.guide_scores import score_guide

        return score_guide(self, from_dict(GuideConfig, settings, "guide"), count, seed=seed)

    def navigate(self, instruction: str, *, scan: str, start: str, **options: Any) -> dict[str, Any]:
        """A greedy rollout of the agent for `instruction` from viewpoint `start`, as `genera navigate RUN`. options:
        heading, goal, data, features, reranking; see `genera.uses.navigate.navigate`."""
        from genera.uses.navigate import navigate

        return navigate(self, instruction, scan=scan, start=start, **options)

    def navigate_split(self, split: str, **options: Any) -> dict[str, float]:
        """Mean figures of greedy rollouts of all episodes of a split. options: out, data, features, reranking; see
        `genera.uses.navigate.navigate_split`."""
        from genera.uses.navigate import navigate_split

        return navigate_split(self, split, **options)
