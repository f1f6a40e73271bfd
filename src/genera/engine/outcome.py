"""Checks of trained weights, before they are saved: they are finite, of a size to compute with, and have moved."""

import torch
from torch import Tensor, nn

from genera.engine.ranks import Ranks
from genera.engine.trainees import Trainee
from genera.errors import GeneraError

LARGEST = 1e6
"""Absolute value of a parameter that only a diverged training reaches. (fp16 ends at 65,504.)"""


def check_weights(method: nn.Module, ranks: Ranks, step: int) -> None:
    """Raise GeneraError on all ranks if a weight is not finite or a parameter is huge. Synchronises with the device."""
    tensors = {name: _local(t) for name, t in method.state_dict().items() if t.is_floating_point()}
    tensors = {name: t for name, t in tensors.items() if t.numel()}
    parameters = {name for name, _ in method.named_parameters()}
    sizes = torch.stack([size.double() for size in torch._foreach_norm(list(tensors.values()), torch.inf)]).tolist()
    limits = [LARGEST if name in parameters else torch.inf for name in tensors]
    wrong = [(name, size) for name, size, limit in zip(tensors, sizes, limits, strict=True) if not size < limit]
    for name, size in [w for of_rank in ranks.gather(wrong[:1]) for w in of_rank][:1]:
        raise GeneraError(
            f"training diverged by step {step}: the largest value of weight {name!r} is {size:.3g}. Earlier "
            "checkpoints are intact; lower the learning rate, or clip gradients with --clip, and choose another --out."
        )


def check_moved(trainees: dict[str, Trainee], ranks: Ranks, steps: int) -> None:
    """Raise GeneraError on all ranks if a player ends a stage with the weights with which it began, unless its learning
    rate is 0."""
    for name, trainee in trainees.items():
        if trainee.parameters and any(trainee.base_rates) and not ranks.agree(float(trainee.has_moved())):
            raise GeneraError(
                f"player {name!r} has learned nothing: {steps} steps left all its weights as they were. Check the "
                "learning rate and the other options of its optimiser, and that its loss depends on its weights."
            )


def _local(tensor: Tensor) -> Tensor:
    """This rank's shard of a sharded tensor."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
