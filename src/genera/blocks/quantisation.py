"""Dictionaries of features inside any discriminator (Zhao et al., ICML 2020).

    fq = genera.quantize(discriminator, after=["blocks.2"], example=images, codes=64)
    loss = ... + fq.commitment().mean()      # after a forward pass of the discriminator
    fq.commit()                              # after the optimiser step; done by the engine
    fq.remove()

Methods mark fake and real rows; the same code works with and without quantisation:

    self.quantisation = insert(self.discriminator, config.quantiser, example)
    with self.quantisation.learning(fake=slice(n), real=slice(n, None)):
        scores = self.discriminator(torch.cat([fake, real]))
    quantised = self.quantisation.terms()    # {"commitment": α L_Q}, or {}
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from genera.blocks.precision import full
from genera.blocks.quantiser import ALL, FeatureQuantiser, commit, own_generator
from genera.blocks.quantiser_config import QuantiserConfig
from genera.errors import GeneraError, unknown


@dataclass(frozen=True)
class QuantisedLayer:
    """A layer followed by a dictionary."""

    path: str
    channels: int
    positions: tuple[int, int]
    """height and width of the features for the example"""
    codes: int


class Quantisation(nn.Module):
    """The dictionaries of one discriminator, created by `quantize`. Save it in checkpoints: its buffers are trained.

    Without layers it is empty, and its methods do nothing.
    """

    def __init__(self, config: QuantiserConfig, layers: Sequence[QuantisedLayer]) -> None:
        super().__init__()
        self.config = config
        self.layers = tuple(layers)
        generator = own_generator()
        self.quantisers = nn.ModuleList(FeatureQuantiser(at.channels, at.codes, config, generator) for at in layers)
        self._handles: list[Any] = []
        self._losses: dict[str, Tensor] = {}

    @property
    def _each(self) -> list[FeatureQuantiser]:
        return list(self.quantisers)  # type: ignore[arg-type]

    def commitment(self) -> Tensor:
        """α-weighted commitment losses (B,) of the discriminator's last forward pass, summed over layers and over the
        calls of a layer that runs several times."""
        terms = [q.commitment for q in self._each]
        if any(term is None for term in terms):
            raise GeneraError("no commitment loss: the discriminator has not run since the last call.")
        self._forget()
        return torch.stack(terms).sum(0)  # type: ignore[arg-type]

    def _forget(self, *_: Any) -> None:
        """Drop the commitment losses, at the start of each forward pass."""
        for q in self._each:
            q.commitment = None

    @contextmanager
    def learning(
        self, *, fake: slice | None = None, real: slice | None = None, generator_step: bool = False
    ) -> Iterator[None]:
        """Context for one forward pass of the discriminator. `terms` then includes these rows, and only they update the
        dictionaries, subject to `update_from` and `update_on_generator_steps`; without rows there is no update (for
        gradient penalties). Outside this context, all rows update the dictionaries. A discriminator in eval mode never
        does."""
        rows = {}
        counted = self.config.update_on_generator_steps or not generator_step
        if fake is not None and counted and self.config.update_from != "real":
            rows["fake"] = fake
        if real is not None and self.config.update_from != "fake":
            rows["real"] = real
        self._forget()
        for q in self._each:
            q.learns_from = rows
        try:
            yield
        finally:
            for q in self._each:
                q.learns_from = {"all": ALL}
        if self.layers:
            losses = self.commitment()
            self._losses |= {kind: losses[of].mean() for kind, of in (("fake", fake), ("real", real)) if of is not None}

    def terms(self) -> dict[str, Tensor]:
        """{"commitment": α L_Q} of the passes in `learning` since the last call: mean over fakes plus mean over reals,
        for the loss and for telemetry. {} without layers."""
        if not self.layers:
            return {}
        taken, self._losses = [*self._losses.values()], {}
        if not taken:
            raise GeneraError("no commitment loss: the discriminator has seen no fakes or reals since the last call.")
        return {"commitment": torch.stack(taken).sum()}

    def commit(self) -> None:
        """Update all dictionaries once, from the features staged on all ranks since the last update."""
        commit(self._each)

    def telemetry(self, prefix: str = "") -> dict[str, Tensor]:
        """`path/usage`, `path/perplexity` and `path/relative_error` of each layer, with `prefix` before the path."""
        return {
            f"{prefix}{at.path}/{name}": value
            for at, q in zip(self.layers, self._each, strict=True)
            for name, value in q.telemetry().items()
        }

    def remove(self) -> None:
        """Remove the dictionaries and restore the discriminator."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


def quantize(module: nn.Module, after: Sequence[str], *, example: Any, **settings: Any) -> Quantisation:
    """Insert a dictionary after each layer in `after` (paths as in `named_modules`) of any module.

    Forward hooks on the layers apply the dictionaries; the module itself is unchanged. Keep the returned object beside
    the module (as an attribute, in the state dict): it holds the dictionaries, on the devices of the layers.

    example: an input of the module or a tuple of inputs; one forward pass in eval mode determines the feature sizes.
    settings: fields of QuantiserConfig; `codes` may be one number.
    The state of torch's global generator does not change; the first codes depend on it.
    Raises GeneraError for an unknown path or setting, and for a layer that does not run, has no (B, C, H, W) output or
    has a dictionary already.
    """
    known = QuantiserConfig.__dataclass_fields__
    for name in settings:
        if name not in known:
            raise unknown("setting of quantize", name, known)
    if isinstance(after, str):
        raise GeneraError(f"after is a list of layers; write after=[{after!r}].")
    if isinstance(settings.get("codes"), int):
        settings["codes"] = (settings["codes"],)
    config = QuantiserConfig(**{**settings, "after": tuple(after)})
    if complaints := config.check() or ([] if after else ["after names no layer"]):
        raise GeneraError("; ".join(complaints) + ".")
    return insert(module, config, example)


def insert(module: nn.Module, config: QuantiserConfig, example: Any) -> Quantisation:
    """As `quantize`, from a valid config. If its field `after` is empty, there is no quantisation and the result is
    empty."""
    after = config.after
    if not after:
        return Quantisation(config, ())
    places = {path: layer for path, layer in module.named_modules() if path}
    for path in after:
        if path not in places:
            raise unknown(f"layer of {type(module).__name__}", path, places)
        if any(getattr(hook, "func", None) is _quantised for hook in places[path]._forward_hooks.values()):
            raise GeneraError(f"layer {path!r} already has a dictionary; call remove() on its quantisation first.")
    features = _features({path: places[path] for path in after}, module, example)
    sizes = config.codes * (len(after) if len(config.codes) == 1 else 1)
    layers = [
        QuantisedLayer(path, h.shape[1], (h.shape[2], h.shape[3]), k)
        for (path, h), k in zip(features.items(), sizes, strict=True)
    ]
    quantisation = Quantisation(config, layers)
    for quantiser, h in zip(quantisation._each, features.values(), strict=True):
        quantiser.to(h.device, full(h).dtype)
    quantisation._handles.append(module.register_forward_pre_hook(quantisation._forget))
    for path, quantiser in zip(after, quantisation._each, strict=True):
        quantisation._handles.append(places[path].register_forward_hook(partial(_quantised, quantiser, path)))
    return quantisation


def _quantised(quantiser: FeatureQuantiser, path: str, layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """The hook of a layer. The commitment losses of its calls in one forward pass add up."""
    before = quantiser.commitment
    result = quantiser(output, learn=layer.training)
    if before is not None and quantiser.commitment is not None:
        if len(before) != len(output):
            raise GeneraError(
                f"layer {path!r} runs on {len(before)} rows and on {len(output)} rows in one forward pass; a quantised "
                "layer needs equally many rows in each of its calls."
            )
        quantiser.commitment = quantiser.commitment + before
    return result


@torch.no_grad()
def _features(places: dict[str, nn.Module], module: nn.Module, example: Any) -> dict[str, Tensor]:
    """(B, C, H, W) output of each layer when `module` runs on `example`, in eval mode so that no statistics change, and
    without a change of the global generators."""
    outputs: dict[str, Any] = {}

    def note(path: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        outputs[path] = output

    handles = [layer.register_forward_hook(partial(note, path)) for path, layer in places.items()]
    modes = {m: m.training for m in module.modules()}
    gpus = {p.device.index for p in module.parameters() if p.device.type == "cuda"}
    try:
        with torch.random.fork_rng(gpus):
            module.eval()(*(example if isinstance(example, tuple) else (example,)))
    finally:
        for m, mode in modes.items():
            m.training = mode
        for handle in handles:
            handle.remove()
    for path in places:
        if path not in outputs:
            raise GeneraError(f"layer {path!r} does not run in the forward pass of {type(module).__name__}.")
        features = outputs[path]
        if not isinstance(features, Tensor) or features.ndim != 4:
            got = f"shape {tuple(features.shape)}" if isinstance(features, Tensor) else type(features).__name__
            raise GeneraError(f"layer {path!r} gives {got}; its output must be (rows, channels, height, width).")
    return {path: outputs[path] for path in places}
