"""SGD whose averaged weights are what is evaluated: from a given step, or from when validation stops improving."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD


class AveragedSGD(SGD):
    """SGD beside which the mean of its iterates is kept, in each parameter's state as "ax" (Polyak and Juditsky 1992).

    torch.optim.ASGD couples the mean with a decay of the rate and applies a new rate one step late; here the rate is
    the schedule's. While the mean has not begun it is a copy of the weights.
    """

    def __init__(
        self, parameters: Iterable[Any], lr: float, *, average_from: float = 0, weight_decay: float = 0.0, fused: bool
    ) -> None:
        """average_from: step whose result is the first of the mean."""
        super().__init__(parameters, lr, weight_decay=weight_decay, fused=fused)
        for group in self.param_groups:  # which checkpoints keep
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

    Plain SGD until a validation loss is worse than the best of those more than `patience` passes ago; the mean then
    begins with the next step.
    """

    def __init__(
        self, parameters: Iterable[Any], lr: float, *, patience: int = 5, weight_decay: float = 0.0, fused: bool
    ) -> None:
        super().__init__(parameters, lr, average_from=math.inf, weight_decay=weight_decay, fused=fused)
        for group in self.param_groups:
            group["patience"], group["validated"] = patience, []

    def validated(self, loss: float) -> None:
        """Note the loss of a validation pass; the engine calls this after each."""
        for group in self.param_groups:
            earlier = group["validated"][: -group["patience"]]
            if group["average_from"] == math.inf and earlier and loss > min(earlier):
                group["average_from"] = group["steps"]
            group["validated"].append(loss)
