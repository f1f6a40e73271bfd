"""SGD that evaluates averaged weights. Averaging starts at a given step or when validation stops improving."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD


class AveragedSGD(SGD):
    """SGD that keeps the mean of its iterates in each parameter's state as "ax" (Polyak and Juditsky 1992).

    torch.optim.ASGD couples averaging with a decay of the learning rate and applies a new rate one step late; here the
    schedule sets the rate. Before averaging starts, "ax" is a copy of the weights.
    """

    def __init__(
        self, parameters: Iterable[Any], lr: float, *, average_from: float = 0, weight_decay: float = 0.0, fused: bool
    ) -> None:
        """average_from: steps before averaging; the mean starts with the weights after the next step."""
        super().__init__(parameters, lr, weight_decay=weight_decay, fused=fused)
        for group in self.param_groups:  # saved in checkpoints
            group["steps"], group["average_from"] = 0, average_from

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            group["steps"] += 1
            for parameter in group["params"]:
                if "ax" not in self.state[parameter]:
                    self.state[parameter]["ax"] = parameter.detach().clone()
            count = max(1, group["steps"] - group["average_from"])
            torch._foreach_lerp_(
                [self.state[p]["ax"] for p in group["params"]], [p.detach() for p in group["params"]], 1 / count
            )
        return loss

    def averages(self) -> dict[Tensor, Tensor]:
        """parameter → mean of its iterates; empty before the first step"""
        return {p: state["ax"] for p, state in self.state.items() if "ax" in state}


class TriggeredSGD(AveragedSGD):
    """Non-monotonically triggered averaged SGD (Merity et al. 2018, algorithm 1).

    Plain SGD until a validation loss is worse than the best loss more than `patience` passes ago; averaging then starts
    with the next step.
    """

    def __init__(
        self, parameters: Iterable[Any], lr: float, *, patience: int = 5, weight_decay: float = 0.0, fused: bool
    ) -> None:
        super().__init__(parameters, lr, average_from=math.inf, weight_decay=weight_decay, fused=fused)
        for group in self.param_groups:
            group["patience"], group["validated"] = patience, []

    def validated(self, loss: float) -> None:
        """Record the loss of a validation pass; the engine calls this after each pass."""
        for group in self.param_groups:
            earlier = group["validated"][: -group["patience"]]
            if group["average_from"] == math.inf and earlier and loss > min(earlier):
                group["average_from"] = group["steps"]
            group["validated"].append(loss)
