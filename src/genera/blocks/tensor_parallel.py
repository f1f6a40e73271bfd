"""Tensor parallelism (Shoeybi et al. 2019, Megatron-LM) of the transformers here, with PyTorch's DTensor.

Queries, keys, values and the first feed-forward matrix are split by columns, attention output and second feed-forward
matrix by rows, embeddings and output matrix over the vocabulary. All other parameters are replicated, as DTensors too,
so that one norm clips the gradient of all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.positions import RelativeBias
from genera.blocks.split import Split
from genera.blocks.transformer import Attention, Block, FeedForward
from genera.errors import GeneraError

REPLICATED = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)
"""Modules that compute the same on all parts."""


@dataclass(frozen=True)
class Arrangement:
    """The order in which P parts hold the rows of a parameter that stacks several matrices.

    Each part has a share of each matrix: [Q; K; V] is held as [Q_1; K_1; V_1; Q_2; K_2; V_2; …]. Matrices that do not
    divide are filled up with rows of zeros.
    """

    matrices: tuple[int, ...]
    """rows of each"""
    parts: int

    @property
    def rows(self) -> int:
        """Rows of the parameter in files."""
        return sum(self.matrices)

    @property
    def held_rows(self) -> int:
        """Rows that all parts hold together, with those that fill up."""
        return sum(-(-rows // self.parts) for rows in self.matrices) * self.parts

    def held(self, whole: Tensor) -> Tensor:
        """(rows, …) in the order of files → in the order of the parts."""
        stacks = [self._filled(matrix).chunk(self.parts) for matrix in whole.split(list(self.matrices))]
        return torch.cat([stack[part] for part in range(self.parts) for stack in stacks])

    def whole(self, held: Tensor) -> Tensor:
        """The inverse of `held`."""
        shares = [-(-rows // self.parts) for rows in self.matrices]
        pieces, count = held.split(shares * self.parts), len(self.matrices)
        return torch.cat([torch.cat(pieces[i::count])[:rows] for i, rows in enumerate(self.matrices)])

    def _filled(self, matrix: Tensor) -> Tensor:
        missing = -len(matrix) % self.parts
        return torch.cat((matrix, matrix.new_zeros(missing, *matrix.shape[1:]))) if missing else matrix


def parts_of(model: nn.Module) -> int:
    """Number of parts over which the layers of a model are split."""
    return next((m.split.parts for m in model.modules() if isinstance(m, Attention) and m.split is not None), 1)


def arrangements(model: nn.Module, parts: int) -> dict[str, Arrangement]:
    """Parameter → its arrangement, for those whose rows `parts` parts hold in another order or number than files."""
    found: dict[str, Arrangement] = {}
    for name, stacked, rows in _stacked(model) if parts > 1 else ():
        arrangement = Arrangement(tuple(rows), parts)
        if len(rows) > 1 or arrangement.rows % parts:
            prefix = f"{name}." if name else ""
            found |= {f"{prefix}{kind}": arrangement for kind, _ in stacked.named_parameters(recurse=False)}
    return found


def _stacked(model: nn.Module) -> Iterator[tuple[str, nn.Module, list[int]]]:
    """Modules whose weights are split by their first axis: name, module, rows of its matrices."""
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, Attention):
            yield f"{prefix}qkv", module.qkv, module.whole_rows
        elif isinstance(module, FeedForward):
            count = 2 if module.gated else 1
            yield f"{prefix}up", module.up, [module.up.out_features // count] * count
        elif isinstance(module, Bert | Decoder):
            yield f"{prefix}tokens", module.tokens, [module.size.vocabulary]
            if isinstance(module, Decoder) and module.head is not None:
                yield f"{prefix}head", module.head, [module.size.vocabulary]


def check_split(network: nn.Module, parts: int) -> None:
    """Raise GeneraError unless `parts` parts can compute the layers of `network` together."""
    option = f"--tensor-parallel {parts}"
    blocks = [(name, m) for name, m in network.named_modules() if isinstance(m, Block)]
    if not blocks:
        raise GeneraError(f"{option} splits transformer layers, but this method has none; drop it.")
    split = {id(module) for _, module, _ in _stacked(network)}
    for name, module in network.named_modules():
        own = any(True for _ in module.parameters(recurse=False))
        plain = id(module) in split or type(module) in REPLICATED
        if isinstance(module, RelativeBias) or (own and not plain):
            raise GeneraError(f"{option} cannot split {name} of this method ({type(module).__name__}); drop it.")
    for name, block in blocks:
        if block.cross is not None:
            raise GeneraError(f"{option} cannot split the cross-attention of {name} of this method; drop it.")
        attention, width = block.attention, block.attention.width
        queries, keys, _ = (rows // width for rows in attention.whole_rows)
        sizes = {"heads": queries, "key_value_heads": keys, "feed_forward": block.feed_forward.down.in_features}
        for what, size in sizes.items():
            if size % parts:
                raise GeneraError(f"{option} does not divide the {what} of {name}, which are {size}; use a divisor.")


def split(network: nn.Module, mesh: Any) -> None:
    """Split the layers of a network, whose parameters are on the meta device, over the 1-D DeviceMesh `mesh`."""
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    own = Split(mesh.get_local_rank(), mesh.size(), mesh.get_group())
    trained = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    for _, module, matrices in list(_stacked(network)):
        count = Arrangement(tuple(matrices), own.parts).held_rows
        for kind, parameter in list(module.named_parameters(recurse=False)):
            module.register_parameter(kind, nn.Parameter(parameter.new_empty(count, *parameter.shape[1:])))
    styles: dict[nn.Module, Any] = {}
    for module in network.modules():
        if isinstance(module, Attention):
            styles |= {module.qkv: ColwiseParallel(), module.out: RowwiseParallel()}
            module.rows, module.split = [rows // own.parts for rows in module.whole_rows], own
        elif isinstance(module, FeedForward):
            styles |= {module.up: ColwiseParallel(), module.down: RowwiseParallel()}
        elif isinstance(module, Bert | Decoder):
            styles[module.tokens] = RowwiseParallel(input_layouts=Replicate())
            if isinstance(module, Decoder):
                module.split = own
                if module.head is not None:  # the loss reads it, and its forward is never called
                    matrix = distribute_tensor(module.head.weight, mesh, [Shard(0)])
                    module.head.register_parameter("weight", nn.Parameter(matrix))
                    styles[module.head] = None
    for module, style in styles.items():
        if style is not None:
            parallelize_module(module, mesh, style)
    for module in network.modules():
        if module not in styles and any(True for _ in module.parameters(recurse=False)):
            _replicate(module, mesh)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(trained[name])


def _replicate(module: nn.Module, mesh: Any) -> None:
    """Hold the module's own parameters as replicated DTensors, and compute with them as plain tensors."""
    from torch.distributed.tensor import Replicate, distribute_tensor

    names = [name for name, _ in module.named_parameters(recurse=False)]
    for name in names:
        parameter = distribute_tensor(getattr(module, name), mesh, [Replicate()])
        module.register_parameter(name, nn.Parameter(parameter))

    def before(module: nn.Module, inputs: Any) -> None:
        for name in names:  # hides the parameter of that name
            module.__dict__[name] = module._parameters[name].to_local()  # type: ignore[union-attr]

    def after(module: nn.Module, inputs: Any, outputs: Any) -> None:
        for name in names:
            module.__dict__.pop(name, None)

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after, always_call=True)
