"""Build a method without memory for its parameters, and give them their initial values later, one at a time.

A rank of a sharded run so never holds the whole model, and yet begins with the weights that a single process draws.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from genera.blocks.shares import Scratch, assign
from genera.blocks.tensor_parallel import arrangements, parts_of

M = TypeVar("M", bound=nn.Module)

EMPTY = {"empty", "empty_like", "new_empty", "empty_strided"}
OVERWRITES = {"normal_", "uniform_", "zero_", "fill_", "copy_"}


class _Write(NamedTuple):
    """An operation that changed a tensor in place."""

    operation: Any
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    generator: Tensor
    """state of the generator before it"""


class Recorder(TorchDispatchMode):
    """Within the context, `torch.empty` takes no memory, and writes to its tensors are recorded. Each random one is
    also carried out once, on a tensor that is dropped, so that later ones draw what they would."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: dict[int, list[_Write]] = {}
        self.tensors: list[Tensor] = []  # so that no storage is reused while writes refer to it
        self.scratch = Scratch()
        self.complete = True
        """Whether all values can be replayed: nothing read a recorded tensor or wrote to a part of one."""

    def __torch_dispatch__(self, operation: Any, types: Any, inputs: Any = (), options: Any = None) -> Any:
        options = options or {}
        name = operation._schema.name.removeprefix("aten::")
        if name in EMPTY:
            made = operation(*inputs, **{**options, "device": torch.device("meta"), "pin_memory": False})
            self.tensors.append(made)
            return made
        flat = [x for x in (*inputs, *options.values()) if isinstance(x, Tensor)]
        if not any(x.is_meta for x in flat) or operation.is_view or name in ("detach", "alias"):
            return operation(*inputs, **options)
        target, others = inputs[0], [x for x in flat if x is not inputs[0]]
        whole = isinstance(target, Tensor) and target.untyped_storage().nbytes() == target.nbytes
        if not (name.endswith("_") and whole and target.is_meta) or any(x.is_meta for x in others):
            self.complete = False
            return operation(*inputs, **options)
        write = _Write(operation, inputs[1:], options, torch.get_rng_state())
        self.writes.setdefault(_key(target), []).append(write)
        if torch.Tag.nondeterministic_seeded in operation.tags:
            operation(self._memory(target), *inputs[1:], **options)
        return target

    def _memory(self, like: Tensor) -> Tensor:
        memory = self.scratch.tensor(like.shape)
        return memory if like.dtype == torch.float32 else torch.empty(like.shape, dtype=like.dtype)

    def value(self, parameter: Tensor) -> Tensor:
        """What the parameter would hold; valid until the next call."""
        writes = self.writes.get(_key(parameter), [])
        last = [i for i, w in enumerate(writes) if w.operation._schema.name.removeprefix("aten::") in OVERWRITES]
        value = self._memory(parameter)
        for write in writes[last[-1] if last else 0 :]:
            torch.set_rng_state(write.generator)
            write.operation(value, *write.inputs, **write.options)
        return value


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


class Initial:
    """The initial values of a method's parameters, by name."""

    def __init__(self, values: dict[str, Callable[[], Tensor]], scratch: Scratch) -> None:
        self.values, self.scratch = values, scratch

    @torch.no_grad()
    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        """One after the other, each valid until the next; the generator is left as it was."""
        before = torch.get_rng_state()
        for name, value in self.values.items():
            yield name, value()
            torch.set_rng_state(before)
        self.scratch.release()


def build(make: Callable[[], M]) -> tuple[M, Initial]:
    """`make()` with its parameters on the meta device, and their values.

    Where these cannot be drawn one at a time (one is computed from another, say), the method is built whole first.
    """
    before = torch.get_rng_state()
    with Recorder() as recorder:
        try:
            method = make()
        except (NotImplementedError, RuntimeError):  # of an operation that needs values
            recorder.complete = False
    if recorder.complete and not any(buffer.is_meta for buffer in method.buffers()):
        parameters = dict(method.named_parameters())
        if all(p.is_meta for p in parameters.values()):
            return method, Initial(
                {name: _bound(recorder.value, p) for name, p in parameters.items()}, recorder.scratch
            )
    torch.set_rng_state(before)
    method = make()
    whole = {name: p.detach() for name, p in method.named_parameters()}
    for module in method.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            module.register_parameter(name, nn.Parameter(p.to("meta"), requires_grad=p.requires_grad))
    return method, Initial({name: _bound(torch.clone, value) for name, value in whole.items()}, recorder.scratch)


def allocate(method: nn.Module, device: torch.device) -> None:
    """Give the parameters of `method` memory, and move what has some to `device`."""
    method._apply(lambda t: torch.empty_like(t, device=device) if t.is_meta else t.to(device))


def fill(method: nn.Module, initial: Initial) -> None:
    """Give the parameters of `method`, of which this rank may hold shares, their initial values."""
    parameters, arranged = dict(method.named_parameters()), arrangements(method, parts_of(method))
    for name, value in initial:
        assign(parameters[name], value, arranged.get(name))


def _bound(function: Callable[[Tensor], Tensor], argument: Tensor) -> Callable[[], Tensor]:
    return lambda: function(argument)
