"""Generate items with a given label. A guide is fitted once, stored in RUN/guides/NAME, and reused."""

import copy
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genera.console import say
from genera.engine.capabilities import Decodes, Encodes, Posterior, ScoresGiven
from genera.errors import GeneraError, reason, unknown
from genera.files import atomic, write_json
from genera.typed import read_typed
from genera.uses.cara import CaraGuide
from genera.uses.items import at_least
from genera.uses.judge import ABOUT as JUDGE
from genera.uses.judge import Judge
from genera.uses.labelled import Labelled, read_labelled
from genera.uses.latent_guides import GanGuide, VectorGuide
from genera.uses.settings import GuideConfig

if TYPE_CHECKING:
    from genera.uses.run import Run

ENCODED_AT_ONCE = 512
MOST_DRAWS = 50
"""Draws per item that rejection makes before it gives up."""


@dataclass(frozen=True)
class Guide:
    """A sampler of latents for K labels, and the model that decodes them."""

    folder: Path
    labels: tuple[str, ...]
    module: nn.Module
    model: Decodes
    """the run's model, or the guide's copy of it"""
    degree: float
    judge: Judge

    def items(self, label: str, count: int, generator: torch.Generator, **options: Any) -> list[Any]:
        """`count` items with `label`. Options are the method's decoding options. Raises GeneraError for an unknown
        label."""
        return self.model.decode(self.latents(label, count, generator), generator=generator, **options)

    def sure_items(
        self, label: str, count: int, sure: float, generator: torch.Generator, **options: Any
    ) -> tuple[list[Any], NDArray[np.float64]]:
        """`count` items of which the judge gives `label` at least the probability `sure`, and these probabilities.

        Rejects the others. Raises GeneraError after MOST_DRAWS draws per item, and as `items`.
        """
        kept: list[Any] = []
        probabilities: list[float] = []
        for _ in range(MOST_DRAWS):
            items = self.items(label, count, generator, **options)
            probability = self.probability(items, label)
            chosen = np.flatnonzero(probability >= sure)[: count - len(kept)]
            kept += [items[row] for row in chosen]
            probabilities += probability[chosen].tolist()
            if len(kept) == count:
                return kept, np.array(probabilities)
        raise GeneraError(
            f"only {len(kept)} of {MOST_DRAWS * count} items are {label!r} with a probability of at least {sure:g}, "
            f"and {count} were asked for; lower --sure or --count, or fit another guide (--method gan)."
        )

    def probability(self, items: list[Any], label: str) -> NDArray[np.float64]:
        """(N,) probability of `label`, by the judge."""
        return self.judge.probability(items, self.labels.index(label))

    def latents(self, label: str, count: int, generator: torch.Generator) -> Tensor:
        """(count, P) latents of `label`. Raises GeneraError for an unknown label."""
        if label not in self.labels:
            raise unknown(f"label of {self.folder}", label, self.labels)
        return self.module(self.labels.index(label), count, generator, self.degree)


@dataclass(frozen=True)
class Guided:
    """Items made with a label, and how sure the judge is of each."""

    items: list[Any]
    probability: NDArray[np.float64]
    """(N,) of the label that was asked for"""
    right: float
    """share of real items that the judge is right about"""


def guide(
    run: "Run", label: str, count: int, config: GuideConfig | None = None, *, seed: int = 0, **options: Any
) -> Guided:
    """`count` items with `label`. Options are the method's decoding options.

    Raises GeneraError for a method without a latent that can be decoded, unusable labels, or an unknown label.
    """
    count = at_least(1, count, "the number of items")
    config = config or GuideConfig()
    fitted, generator = open_guide(run, config), run.generator(seed)
    if config.sure is not None:
        items, probability = fitted.sure_items(label, count, config.sure, generator, **options)
    else:
        items = fitted.items(label, count, generator, **options)
        probability = fitted.probability(items, label)
    return Guided(items, probability, fitted.judge.right)


def open_guide(run: "Run", config: GuideConfig, data: Labelled | None = None) -> Guide:
    """The guide of `config` in the run's folder; fitted now if it is missing or was fitted with other settings.

    data: the labelled items, if already loaded.
    """
    config.check()
    run.able(Encodes, "encode")
    run.able(Decodes, "decode latents")
    folder = run.folder.path / "guides" / config.folder
    asked = _fit_settings(run, config)
    if (folder / "guide.json").exists():
        about = _about(folder)
        changed = [name for name, value in asked.items() if about["settings"].get(name) != value]
        if not changed and (folder / JUDGE).exists():
            return _load(run, folder, about, config)
        say(
            f"{folder} has no classifier; refitting."
            if not changed
            else f"{folder} was fitted with other settings ({', '.join(changed)}); refitting."
        )
    run.folder.check_writable()
    data = data or read_labelled(run, config, config.fit_seed)
    _fit(run, folder, asked, config, data)
    return _load(run, folder, _about(folder), config)


def fitted_on(data: Labelled) -> slice:
    """The half of the training items for fitting guides; the other half is for evaluating them."""
    return slice(0, len(data.train) // 2)


def _fit_settings(run: "Run", config: GuideConfig) -> dict[str, Any]:
    """The settings that a fitted guide depends on."""
    names = ["data", "text_column", "label_column", "factor", "items", "test_items", "method", "fit_seed"]
    names += [] if config.method == "vector" else ["gan_steps", "hidden"]
    names += ["cara_steps", "cara_lr"] if config.method == "cara" else []
    return {"step": run.step, **{name: getattr(config, name) for name in names}}


def _fit(run: "Run", folder: Path, settings: dict[str, Any], config: GuideConfig, data: Labelled) -> None:
    part = fitted_on(data)
    items, classes = data.train[part], torch.from_numpy(data.train_classes[part]).to(run.device)
    for index, name in enumerate(data.names):
        if not (classes == index).any():
            raise GeneraError(f"the label {name!r} of {data.source} is too rare to fit a guide; give more --items.")
    count = len(data.names)
    module: nn.Module
    size = {"hidden": config.hidden}
    if config.method == "vector":
        module = VectorGuide.fit(_encode(run, items), classes, count)
        size = {"anchors": len(module.classes)}
    elif config.method == "gan":
        module = GanGuide.fit(
            _encode(run, items), classes, count, hidden=config.hidden, steps=config.gan_steps, seed=config.fit_seed
        )
    else:
        module = CaraGuide.fit(
            run.able(ScoresGiven, "score items given latents"),
            items,
            classes,
            count,
            hidden=config.hidden,
            steps=config.cara_steps,
            gan_steps=config.gan_steps,
            lr=config.cara_lr or learning_rate(run, "--cara-lr"),
            seed=config.fit_seed,
        )
    if folder.exists():
        shutil.rmtree(folder)
    with atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        save_file({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}, temporary / FILE)
        held_out = np.arange(part.stop, len(data.train))
        Judge.fit(data, held_out, run.method.dataset.kind).save(temporary)
        write_json(temporary / "guide.json", {"labels": data.counts, "size": size, "settings": settings})


FILE = "guide.safetensors"


def learning_rate(run: "Run", option: str) -> float:
    """Learning rate of the run. Raises GeneraError that names the option to give if the method has several rates."""
    if not hasattr(run.config.model, "lr"):
        raise GeneraError(f"{run.config.method} has several learning rates; give {option}.")
    return run.config.model.lr


def _encode(run: "Run", items: list[Any]) -> Posterior:
    parts = [run.encode(items[i : i + ENCODED_AT_ONCE]) for i in range(0, len(items), ENCODED_AT_ONCE)]
    variances = [part.log_variance for part in parts if part.log_variance is not None]
    return Posterior(torch.cat([part.mean for part in parts]), torch.cat(variances) if variances else None)


@dataclass(frozen=True)
class _About:
    """guide.json."""

    labels: dict[str, int]
    size: dict[str, int]
    settings: dict[str, Any]


def _about(folder: Path) -> dict[str, Any]:
    return read_typed(folder / "guide.json", _About, f"delete {folder} to refit the guide")


def _load(run: "Run", folder: Path, about: dict[str, Any], config: GuideConfig) -> Guide:
    count, size, model = len(about["labels"]), about["size"], run.able(Decodes, "decode latents")
    module: nn.Module
    try:
        if config.method == "cara":
            module = CaraGuide(copy.deepcopy(model), count, **size)
            model = module.model
        elif config.method == "gan":
            module = GanGuide(count, model.latent_size, **size)
        else:
            module = VectorGuide(count, model.latent_size, **size)
        module.load_state_dict(load_file(folder / FILE))
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise GeneraError(
            f"{folder / FILE} is damaged ({reason(error)}); delete {folder} to refit the guide."
        ) from None
    judge = Judge.load(folder, run.method.dataset.kind)
    return Guide(folder, tuple(about["labels"]), module.to(run.device).eval(), model, config.degree, judge)
