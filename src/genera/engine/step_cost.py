"""What a training step takes: one real step on the meta device, whose tensors have shapes and no storage."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.transformer import Attention, Block, FeedForward
from genera.data.batch import Batch
from genera.engine.config import RunConfig
from genera.engine.method import Method, Stage
from genera.engine.ranks import Ranks
from genera.engine.step import Step
from genera.engine.trainees import AUTOCAST, Trainee, enrol

PRODUCTS = {
    *(F.linear, F.bilinear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose2d, F.scaled_dot_product_attention),
    *(torch.matmul, torch.bmm, torch.mm, torch.addmm, torch.einsum, torch.Tensor.matmul, torch.Tensor.__matmul__),
}

WHOLE, DIVIDED, CAST, OTHER = "whole", "divided", "cast", "other"
"""What memory is for: activations that every rank of a tensor-parallel group holds whole, those that it divides, copies
of weights in half precision; and gradients of weights and optimiser state, which are counted by their parameters."""


class ParameterCost(NamedTuple):
    """A parameter of the players, and what training it adds."""

    shape: tuple[int, ...]
    trained: bool
    optimiser: int
    """bytes of optimiser state of its shape"""
    counts: int
    """bytes of other optimiser state, such as a count of steps, which every rank holds"""
    average: int
    """bytes of its moving average"""
    layer: int | None
    """number of the transformer layer that FSDP gathers it with; None: with the rest"""
    divided_along: int | None
    """axis along which tensor parallelism divides it"""

    @property
    def bytes(self) -> int:
        return 4 * prod(self.shape)


@dataclass
class StepCost:
    """One training step of a stage on one device."""

    rows: int
    """of the global batch"""
    basis: str
    players: dict[str, dict[str, int]]
    flops: int
    parameters: list[ParameterCost]
    untrained: int
    """bytes of weights that no player has"""
    reductions: int
    """bytes of activations whose sums over a tensor-parallel group a step takes"""
    memory: "Memory"

    def activations(self, tensor_parallel: int = 1) -> int:
        """Largest number of bytes that the activations of the global batch and their gradients take at a time."""
        return self.memory.peak({WHOLE: 1, DIVIDED: tensor_parallel})

    def casts(self) -> int:
        """Bytes of the copies of weights in half precision that autocast keeps for the backward pass."""
        return self.memory.peak({CAST: 1})


def cost_of_step(
    config: RunConfig, method: Method, stage: Stage, sketch: Callable[[int], Batch], *, fused: bool
) -> StepCost:
    """A step of a stage with players, on a batch of `sketch`. fused: attention never holds all its scores at a time."""
    assert stage.players
    assert stage.update
    rows = stage.batch_size or config.train.batch_size
    ranks = Ranks(0, 1, torch.device("meta"))
    step = Step(config.train, ranks, enrol(stage.players(), config.train, ranks))
    step.begin(0, 0.999)  # late in the schedules, where every loss term is active
    batch = sketch(rows).to(ranks.device)
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Untracked()  # type: ignore[assignment]
    memory, attention = Memory(method), _FusedAttention() if fused else None
    modes: list[_Mode] = [attention] if attention else []
    if dtype := AUTOCAST.get(config.train.precision):
        modes.append(_Autocast(dtype, memory))
    with memory, counter, memory.tagging(method, step), ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode.within(method))
        stage.update(batch, step)
    trainees = list(step.trainees.values())
    parameters = list({key: cost for trainee in trainees for key, cost in _parameters(trainee)}.values())
    return StepCost(
        rows=rows,
        basis=f"{rows} {stage.basis}",
        players={
            name: {
                "parameters": sum(p.numel() for p in trainee.player.network.parameters()),
                "trainable": sum(p.numel() for p in trainee.parameters),
            }
            for name, trainee in step.trainees.items()
        },
        flops=counter.get_total_flops() + (attention.flops if attention else 0),
        parameters=parameters,
        untrained=4 * sum(p.numel() for p in method.parameters()) - sum(p.bytes for p in parameters),
        reductions=memory.reductions,
        memory=memory,
    )


def _parameters(trainee: Trainee) -> Iterator[tuple[int, ParameterCost]]:
    """The parameters of a player by their identity."""
    network, state = trainee.player.network, trainee.player.optimiser.state
    blocks = [module for module in network.modules() if isinstance(module, Block)]
    parts = [(number, part) for number, block in enumerate(blocks) for part in (block.attention, block.feed_forward)]
    layers = {id(parameter): number for number, part in parts for parameter in part.parameters()}
    axes = divided_axes(network)
    averages = {id(t): mean.nbytes for t, mean in zip(trainee.followed, trainee.average, strict=False)}
    for parameter in network.parameters():
        states = [value for value in state.get(parameter, {}).values() if isinstance(value, Tensor)]
        counts = sum(value.nbytes for value in states if value.shape != parameter.shape)
        yield (
            id(parameter),
            ParameterCost(
                shape=tuple(parameter.shape),
                trained=parameter.requires_grad,
                optimiser=sum(value.nbytes for value in states) - counts,
                counts=counts,
                average=averages.get(id(parameter), 0),
                layer=layers.get(id(parameter)),
                divided_along=axes.get(id(parameter)),
            ),
        )


def divided_axes(network: nn.Module) -> dict[int, int]:
    """The parameters that tensor parallelism divides, by identity, and along which axis: projections from the residual
    stream by their rows (outputs), those onto it by their columns, embeddings and output matrices by the vocabulary."""
    axes: dict[int, int] = {}
    for part in network.modules():
        if isinstance(part, Bert | Decoder):
            tables = [part.tokens, part.head] if isinstance(part, Decoder) else [part.tokens]
            axes |= {id(table.weight): 0 for table in tables if table is not None}
        if isinstance(part, Attention | FeedForward):
            first, last = (part.qkv, part.out) if isinstance(part, Attention) else (part.up, part.down)
            axes |= {id(parameter): 0 for parameter in first.parameters()} | {id(last.weight): 1}
    return axes


# memory


@dataclass
class _Allocation:
    bytes: int
    kind: str
    begin: int
    end: int | None = None


class Memory(TorchDispatchMode):
    """When a step allocates and frees the storages of its tensors, and what they are for."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.kind, self.now, self.reductions = WHOLE, 0, 0
        self.vocabularies = {part.size.vocabulary for part in method.modules() if isinstance(part, Decoder)}
        self.weights = {p.untyped_storage()._cdata for p in method.parameters()}
        self.allocations: list[_Allocation] = []
        self._live: dict[int, _Allocation | None] = dict.fromkeys(
            tensor.untyped_storage()._cdata for tensor in (*method.parameters(), *method.buffers())
        )

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._see(tensor)
        return result

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._live:
            self.now += 1
            logits = self.kind == WHOLE and tensor.ndim > 1 and tensor.shape[-1] in self.vocabularies
            kind = DIVIDED if logits else self.kind
            self._live[key] = allocation = _Allocation(storage.nbytes(), kind, self.now)
            self.allocations.append(allocation)
            weakref.finalize(storage, self._freed, key).atexit = False

    def _freed(self, key: int) -> None:
        if allocation := self._live.pop(key, None):
            self.now += 1
            allocation.end = self.now

    def mark(self, tensor: Tensor, kind: str) -> None:
        """The storage of `tensor` is of another kind than when it was allocated."""
        if allocation := self._live.get(tensor.untyped_storage()._cdata):
            allocation.kind = kind

    @contextmanager
    def allocating(self, kind: str) -> Iterator[None]:
        before, self.kind = self.kind, kind
        try:
            yield
        finally:
            self.kind = before

    @contextmanager
    def tagging(self, method: Method, step: Step) -> Iterator[None]:
        """Within the context, the hooks of modules, parameters and optimisers say what memory is for."""
        handles: list[Any] = []
        for part in method.modules():
            if isinstance(part, Bert | Decoder):
                # The embeddings are summed, and for a decoder the gradient of its states, from parts of the vocabulary.
                times = 2 if isinstance(part, Decoder) else 1
                handles.append(part.tokens.register_forward_hook(partial(self._embedded, times)))
            if isinstance(part, Attention | FeedForward):
                handles += [
                    part.register_forward_pre_hook(lambda *_: self._enter()),
                    part.register_forward_hook(lambda module, given, result: self._leave(result), always_call=True),
                    part.register_full_backward_pre_hook(lambda *_: self._enter()),
                    part.register_full_backward_hook(lambda module, inputs, _: self._leave(inputs[0])),  # type: ignore[index]
                ]
        for trainee in step.trainees.values():
            optimiser = trainee.player.optimiser
            handles += [p.register_post_accumulate_grad_hook(self._gradient) for p in trainee.parameters]
            handles += [
                optimiser.register_step_pre_hook(lambda *_: setattr(self, "kind", OTHER)),
                optimiser.register_step_post_hook(lambda *_: setattr(self, "kind", WHOLE)),
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self) -> None:
        self.kind = DIVIDED

    def _leave(self, result: Tensor | None) -> None:
        """`result` is the sum over a tensor-parallel group, which every rank then holds."""
        self.kind = WHOLE
        if result is not None:
            self.mark(result, WHOLE)
            self.reductions += result.nbytes

    def _embedded(self, times: int, module: nn.Module, given: Any, result: Tensor) -> None:
        self.reductions += times * result.nbytes

    def _gradient(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        self.mark(parameter.grad, OTHER)

    def peak(self, divisors: dict[str, int]) -> int:
        """Largest number of bytes at a time of these kinds, each divided by a number."""
        end = self.now + 1
        changes = []
        for allocation in self.allocations:
            if allocation.kind in divisors:
                size = allocation.bytes // divisors[allocation.kind]
                changes += [(allocation.begin, size), (allocation.end or end, -size)]
        return max(accumulate((size for _, size in sorted(changes)), initial=0))


# what the meta device lacks


class _Mode(TorchFunctionMode):
    """Stands in for what the meta device lacks."""

    @contextmanager
    def within(self, method: Method) -> Iterator[None]:
        """The mode is on, and in every layer also when the backward pass runs it again: a backward pass is itself a
        function that a mode sees, and without the mode while it runs."""
        handles: list[Any] = []
        for block in method.modules():
            if isinstance(block, Block):
                handles += [
                    block.register_forward_pre_hook(lambda *_: self.__enter__() and None),
                    block.register_forward_hook(lambda *_: self.__exit__(None, None, None), always_call=True),
                ]
        with self:
            yield
        for handle in handles:
            handle.remove()


class _Autocast(_Mode):
    """Autocast for tensors without storage: products in `dtype`, all else in the dtype of the inputs."""

    def __init__(self, dtype: torch.dtype, memory: Memory) -> None:
        super().__init__()
        self.dtype, self.memory = dtype, memory

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in PRODUCTS:
            args = [self._cast(x) if isinstance(x, Tensor) and x.is_floating_point() else x for x in args]
        return function(*args, **(kwargs or {}))

    def _cast(self, x: Tensor) -> Tensor:
        weight = x.untyped_storage()._cdata in self.memory.weights
        with self.memory.allocating(CAST if weight else self.memory.kind):
            return x.to(self.dtype)


class _FusedAttention(_Mode):
    """Attention as fused kernels compute it; that of the meta device would hold all scores."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.scaled_dot_product_attention:
            return _Attend.apply(self, *args[:3])
        return function(*args, **(kwargs or {}))


class _Attend(torch.autograd.Function):
    """softmax(QKᵀ)V in shape alone; keeps its inputs, its result and a number for each query."""

    @staticmethod
    def forward(ctx: Any, mode: _FusedAttention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        result = q.new_empty(*q.shape[:-1], v.shape[-1])
        ctx.save_for_backward(q, k, v, result, q.new_empty(q.shape[:-1], dtype=torch.float32))
        ctx.mode, ctx.flops = mode, 2 * q[..., 0].numel() * k.shape[-2] * (q.shape[-1] + v.shape[-1])
        mode.flops += ctx.flops
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        ctx.mode.flops += 2 * ctx.flops
        q, k, v, *_ = ctx.saved_tensors
        return None, torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


class _Untracked:
    """Replaces FlopCounterMode's module hooks, which fail for gradient penalties."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...
