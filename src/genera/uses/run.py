"""The core of a loaded run: the model, and the uses that need a single capability. `genera.run` adds the others."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from genera.engine import checkpoint as ckpt
from genera.engine import registry
from genera.engine.capabilities import (
    CAPABILITIES,
    Attends,
    Continues,
    Decodes,
    Encodes,
    MixesStyles,
    Posterior,
    Responds,
    Samples,
    SamplesByClass,
    Score,
    Scores,
    Translates,
)
from genera.engine.config import RunConfig
from genera.engine.folder import RunFolder
from genera.engine.loading import load_method
from genera.engine.method import Method
from genera.engine.ranks import pick_device
from genera.errors import GeneraError, Lacks, unknown
from genera.uses.items import at_least, finite, read_context, read_items, read_latents


class Run:
    """A loaded run. Every use needs a capability of the method, and raises a clear error if the method lacks it."""

    def __init__(self, folder: RunFolder, config: RunConfig, method: Method, step: int) -> None:
        self.folder, self.config, self.method, self.step = folder, config, method, step

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto", checkpoint: str = "last") -> Self:
        """Load the trained model of the run folder `path`, on any device. Needs no data.

        checkpoint: last, best, previous or a step number.
        Raises GeneraError when there is no run, no checkpoint, or a damaged one.
        """
        loaded = load_method(path, checkpoint)
        method: Method = loaded.method
        step = ckpt.position_of(loaded.checkpoint).step
        return cls(loaded.folder, loaded.config, method.to(pick_device(device)).eval(), step)

    @property
    def device(self) -> torch.device:
        return next(self.method.parameters()).device

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(at_least(0, seed, "the seed"))

    def sample(self, count: int = 1, *, seed: int = 0, **options: Any) -> list[Any]:
        """Draw `count` items. Options are the method's (text: temperature, top_k, top_p, max_tokens, beams,
        length_penalty)."""
        count = at_least(1, count, "the number of samples")
        return self.able(Samples, "sample").sample(count, generator=self.generator(seed), **options)

    @torch.no_grad()
    def encode(self, items: Sequence[Any]) -> Posterior:
        """Posterior mean and log variance of each item."""
        return self.able(Encodes, "encode").encode(self._read(items))

    def decode(self, z: Any, *, seed: int = 0, **options: Any) -> list[Any]:
        """Items at the latents z (B, P): a tensor, an array, what `encode` returns (its means), or what `genera encode
        --out` wrote (the path of the .npz, or np.load of it). Raises GeneraError for latents that are empty, not finite
        or of another size."""
        decoder = self.able(Decodes, "decode latents")
        z = read_latents(z, decoder.latent_size)
        return decoder.decode(z.to(self.device), generator=self.generator(seed), **options)

    def reconstruct(self, items: Sequence[Any], *, seed: int = 0, **options: Any) -> list[Any]:
        """Decode each item's posterior mean."""
        return self.decode(self.encode(items).mean, seed=seed, **options)

    def interpolate(self, start: Any, end: Any, *, steps: int = 10, seed: int = 0, **options: Any) -> list[Any]:
        """steps + 1 items along z = (1 - t) z_start + t z_end, endpoints included."""
        steps = at_least(1, steps, "the number of steps")
        z = self.encode([start, end]).mean
        t = torch.linspace(0, 1, steps + 1, device=z.device)[:, None]
        return self.decode((1 - t) * z[:1] + t * z[1:], seed=seed, **options)

    def analogy(self, a: Any, b: Any, c: Any, *, degree: float = 1.0, seed: int = 0, **options: Any) -> Any:
        """What is to c as b is to a: decode z_c + degree (z_b - z_a)."""
        degree = finite(degree, "the degree")
        z_a, z_b, z_c = self.encode([a, b, c]).mean
        return self.decode((z_c + degree * (z_b - z_a))[None], seed=seed, **options)[0]

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """z ~ N(0, I) of each seed: (seeds, P)."""
        size = self.able(Decodes, "decode latents").latent_size
        return torch.cat([torch.randn(1, size, generator=self.generator(s), device=self.device) for s in seeds])

    def walk(self, seeds: Sequence[int], *, steps: int = 10, seed: int = 0, **options: Any) -> list[Any]:
        """Items on the great circles from each seed's latent to the next, `steps` for each, endpoints included. All
        have the same class: a random one, or the one in `classes`."""
        steps = at_least(1, steps, "the number of steps")
        if not isinstance(seeds, Sequence) or isinstance(seeds, str) or len(seeds) < 2:
            raise GeneraError(f"a walk needs a list of at least two seeds, got {seeds!r}.")
        t = torch.linspace(0, 1, steps + 1, device=self.device)[:-1, None]
        z = self.latents(seeds)
        if isinstance(self.method, SamplesByClass) and "classes" not in options:
            options["classes"] = int(
                torch.randint(self.method.classes, (), generator=torch.Generator().manual_seed(seed))
            )
        ways = [slerp(a, b, t) for a, b in pairwise(z)]
        return self.decode(torch.cat([*ways, z[-1:]]), seed=seed, **options)

    def mix(self, coarse: int, fine: int, *, layer: int, seed: int = 0, **options: Any) -> Any:
        """The item with the styles of seed `coarse` below `layer` and of seed `fine` from it on."""
        model = self.able(MixesStyles, "mix styles")
        a, b = self.latents([coarse, fine]).split(1)
        return model.mix(a, b, layer=layer, generator=self.generator(seed), **options)[0]

    def respond(self, context: Sequence[str], count: int = 10, *, seed: int = 0, **options: Any) -> list[str]:
        """`count` responses to a context: its turns, oldest first. Options are the method's (temperature, top_k, top_p,
        max_tokens, beams, length_penalty)."""
        count = at_least(1, count, "the number of responses")
        model = self.able(Responds, "respond to a dialogue")
        return model.respond([read_context(context)], count, generator=self.generator(seed), **options)[0]

    def mixed_styles(
        self, coarse: Sequence[int], fine: Sequence[int], *, layer: int, seed: int = 0, **options: Any
    ) -> list[Tensor]:
        """A table of images, row by row, with the coarse styles of the row's seed and the fine styles of the column's.
        The first row (after a white corner) and the first column show the unmixed images."""
        model = self.able(MixesStyles, "mix styles")
        if not coarse or not fine:
            raise GeneraError("style mixing needs at least one coarse and one fine seed.")
        pairs = [(f, f) for f in fine] + [(c, f) for c in coarse for f in (c, *fine)]
        a, b = (self.latents(seeds) for seeds in zip(*pairs, strict=True))
        images = model.mix(a, b, layer=layer, generator=self.generator(seed), **options)
        return [torch.ones_like(images[0]), *images]

    def translate(self, items: Sequence[Any], direction: str) -> list[Any]:
        """Translate items of one domain to the other. direction: such as a2b."""
        return self._directed(Translates, "translate", direction).translate(self._read(items), direction)

    def attention(self, items: Sequence[Any], direction: str) -> list[Tensor]:
        """Attention map of the translation of each item: (H, W) in [0, 1]."""
        return self._directed(Attends, "show attention", direction).attention(self._read(items), direction)

    def _directed(self, capability: type, to_do: str, direction: str) -> Any:
        model = self.able(capability, to_do)
        if direction not in model.directions:
            raise unknown("direction", direction, model.directions)
        return model

    def continuations(
        self, prompts: Sequence[str], count: int = 1, *, seed: int = 0, **options: Any
    ) -> list[list[str]]:
        """`count` texts that go on with each prompt, which they do not repeat. Options as for `sample`."""
        count = at_least(1, count, "the number of continuations")
        model = self.able(Continues, "continue a text")
        return model.continuations(self._read(prompts), count, generator=self.generator(seed), **options)

    def score(self, items: Sequence[Any], *, samples: int = 100, seed: int = 0) -> Score:
        """Likelihood terms of each item under `samples` importance samples."""
        samples = at_least(1, samples, "the number of importance samples")
        return self.able(Scores, "score items").score(self._read(items), samples, generator=self.generator(seed))

    def _read(self, items: Sequence[Any]) -> Sequence[Any]:
        return read_items(items, self.method.dataset.kind, self.method.assets, self.config.method)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Names of the capabilities (genera.engine.capabilities) that the model has."""
        return tuple(name for name, kind in CAPABILITIES.items() if isinstance(self.method, kind))

    def able(self, capability: type, to_do: str) -> Any:
        """The method, if it has `capability`. Otherwise raises a GeneraError that lists the methods that have it."""
        if isinstance(self.method, capability):
            return self.method
        raise lacking(capability, self.config.method, to_do)


def lacking(capability: type, method: str, to_do: str) -> Lacks:
    """The error for a method without `capability`; lists the methods that have it."""
    others = []
    for name, entry in registry.entries().items():
        with suppress(GeneraError):  # skip a plug-in that cannot be imported
            implementation = entry.load()
            if all(hasattr(implementation, member) for member in _members(capability)):
                others.append(name)
    return Lacks(f"{method} cannot {to_do}; methods that can: {', '.join(others) or 'none yet'}.")


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Points (T, P) at fractions t (T, 1) of the great circle from a (P,) to b (P,), with interpolated norms: as likely
    under a Gaussian as the endpoints, unlike points on the straight line."""
    angle = torch.acos(torch.dot(a / a.norm(), b / b.norm()).clamp(-1, 1))
    if angle < 1e-4:
        return a + t * (b - a)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def _members(capability: type) -> list[str]:
    return [name for name in vars(capability) if not name.startswith("_")]
