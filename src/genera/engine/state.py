"""The kinds of state of a method, and what each checkpoint keeps of them.

- *Weights*: parameters and buffers, as `state_dict` lists them. What a user loads.
- *Training state*: replay buffers, counters, statistics. The same on all ranks; a resumed run reads it, a loaded one
  does not.
- *Per-rank state*: hidden states that are carried from batch to batch, local buffers. Each rank keeps its own.
- *References*: frozen networks of other runs (see `references`). No checkpoint copies them.

What a method does not register is not state: it must follow from the config, the data and the step alone.
"""

from typing import Any

import torch
from torch import Tensor, nn

Value = bool | int | float | str
"""A plain value that is kept in JSON."""


class StatefulModule(nn.Module):
    """A module that tells its training state and its per-rank state from its weights."""

    def __init__(self) -> None:
        super().__init__()
        self._training_tensors: list[str] = []
        self._training_values: list[str] = []
        self._rank_tensors: list[str] = []

    def register_training_state(self, name: str, value: Tensor | nn.Module | Value | None) -> None:
        """Make `value` the attribute `name`, which is saved for resuming and is not part of the weights.

        value: a tensor, or None for one that comes later (its shape may change); a module, for all of its buffers; or a
        plain number or text. It must be the same on all ranks: what a rank learns of its own rows reaches the others
        through `step.gather`.
        """
        if isinstance(value, nn.Module):
            if any(True for _ in value.parameters()):
                raise TypeError(f"{name!r} has parameters, which are weights: assign it as an attribute.")
            self.add_module(name, value)
            self._training_tensors += [f"{name}.{buffer}" for buffer in _without_weights(value)]
        elif value is None or isinstance(value, Tensor):
            self.register_buffer(name, value, persistent=False)
            self._training_tensors.append(name)
        else:
            setattr(self, name, value)
            self._training_values.append(name)

    def register_rank_state(self, name: str, value: Tensor | None = None) -> None:
        """Make `value` the attribute `name`, of which each rank saves and resumes its own.

        Its first axis should be the rows of the rank's batch, or other items of which each rank holds a share: another
        number of ranks shares these anew. A scalar can only be resumed on as many ranks as saved it.
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
        """Take training and per-rank state, as the methods above gave it."""
        for name, tensor in tensors.items():
            owner, leaf = self._owner(name)
            like = getattr(owner, leaf)
            setattr(owner, leaf, tensor.to(like.device if like is not None else self._device(), copy=True))
        for name, value in values.items():
            setattr(self, name, value)

    def _present(self, names: list[str]) -> dict[str, Tensor]:
        tensors = {name: getattr(*self._owner(name)) for name in names}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}

    def _owner(self, name: str) -> tuple[nn.Module, str]:
        path, _, leaf = name.rpartition(".")
        return self.get_submodule(path), leaf

    def _device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))


def _without_weights(module: nn.Module) -> list[str]:
    """Names of all buffers of `module`, which are no weights from here on."""
    names: list[str] = []
    for path, part in module.named_modules():
        buffers: dict[str, Any] = dict(part._buffers)
        for name, buffer in buffers.items():
            part.register_buffer(name, buffer, persistent=False)
            names.append(f"{path}.{name}" if path else name)
    return names
