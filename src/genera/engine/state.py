"""The kinds of state of a method, and how checkpoints store them.

- *Weights*: parameters and buffers, as in `state_dict`. Loaded for use.
- *Training state*: replay buffers, counters, statistics. The same on all ranks; restored on resuming, not when a run is
  loaded for use.
- *Per-rank state*: hidden states carried from batch to batch, local buffers. Each rank keeps its own.
- *References*: frozen networks of other runs (see `references`). Checkpoints do not copy them.

Anything that a method does not register must follow from the config, the data and the step alone.
"""

from typing import Any

import torch
from torch import Tensor, nn

Value = bool | int | float | str
"""A plain value that is stored in JSON."""


class StatefulModule(nn.Module):
    """A module that separates training state and per-rank state from weights."""

    def __init__(self) -> None:
        super().__init__()
        self._training_tensors: list[str] = []
        self._training_values: list[str] = []
        self._rank_tensors: list[str] = []

    def register_training_state(self, name: str, value: Tensor | nn.Module | Value | None) -> None:
        """Set the attribute `name` to `value` and save it for resuming, apart from the weights.

        value: a tensor, or None for one that is set later (its shape may change); a module, for all its buffers; or a
        plain number or text. It must be the same on all ranks: use `step.gather` to share what depends on a rank's
        rows.
        """
        if isinstance(value, nn.Module):
            if any(True for _ in value.parameters()):
                raise TypeError(f"{name!r} has parameters, which are weights; assign it as an attribute.")
            self.add_module(name, value)
            self._training_tensors += [f"{name}.{buffer}" for buffer in _without_weights(value)]
        elif value is None or isinstance(value, Tensor):
            self.register_buffer(name, value, persistent=False)
            self._training_tensors.append(name)
        else:
            setattr(self, name, value)
            self._training_values.append(name)

    def register_rank_state(self, name: str, value: Tensor | None = None) -> None:
        """Set the attribute `name` to `value`, which each rank saves and restores separately.

        Its first axis should be the rows of the rank's batch, or other items divided over ranks: resuming on another
        number of ranks redistributes them. A scalar can only be resumed on the same number of ranks.
        """
        self.register_buffer(name, value, persistent=False)
        self._rank_tensors.append(name)

    # what checkpoints save and restore

    def training_tensors(self) -> dict[str, Tensor]:
        return self._present(self._training_tensors)

    def training_values(self) -> dict[str, Value]:
        return {name: getattr(self, name) for name in self._training_values}

    def rank_tensors(self) -> dict[str, Tensor]:
        return self._present(self._rank_tensors)

    def restore_state(self, tensors: dict[str, Tensor], values: dict[str, Value]) -> None:
        """Restore training and per-rank state from the output of the methods above."""
        for name, tensor in tensors.items():
            owner, leaf = self._owner(name)
            like = getattr(owner, leaf)
            setattr(owner, leaf, tensor.to(like.device if like is not None else self._state_device(), copy=True))
        for name, value in values.items():
            setattr(self, name, value)

    def _present(self, names: list[str]) -> dict[str, Tensor]:
        tensors = {name: getattr(*self._owner(name)) for name in names}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}

    def _owner(self, name: str) -> tuple[nn.Module, str]:
        path, _, leaf = name.rpartition(".")
        return self.get_submodule(path), leaf

    def _state_device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))


def _without_weights(module: nn.Module) -> list[str]:
    """Names of all buffers of `module`, which from now on are not weights."""
    names: list[str] = []
    for path, part in module.named_modules():
        buffers: dict[str, Any] = dict(part._buffers)
        for name, buffer in buffers.items():
            part.register_buffer(name, buffer, persistent=False)
            names.append(f"{path}.{name}" if path else name)
    return names
