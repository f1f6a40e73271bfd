"""Optimisers by name. The registry needs no torch, so configs can be checked and help printed without it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genera.blocks.schedules import option_complaints
from genera.errors import GeneraError, unknown

if TYPE_CHECKING:
    from torch.optim import Optimizer


@dataclass(frozen=True, kw_only=True)
class OptimiserKind:
    """An optimiser that `--optimiser` can select."""

    summary: str
    implementation: str
    """"package.module:Class", imported on first use; called with (parameters, lr=, weight_decay=, option=…)"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """option (betas, eps, momentum, nesterov, smoothing, average_from or patience) → its default"""
    keywords: Mapping[str, str] = field(default_factory=dict)
    """option → keyword argument of the class, where the names differ"""
    fused: bool = False
    """whether the class has fused kernels"""


ADAM = {"betas": (0.9, 0.999), "eps": 1e-8}
OPTIMISERS: dict[str, OptimiserKind] = {
    "adamw": OptimiserKind(
        summary="Adam with decoupled weight decay (Loshchilov and Hutter 2019)",
        implementation="torch.optim:AdamW",
        options=ADAM,
        fused=True,
    ),
    "adam": OptimiserKind(
        summary="Adam (Kingma and Ba 2015); weight decay is an L2 term",
        implementation="torch.optim:Adam",
        options=ADAM,
        fused=True,
    ),
    "nadam": OptimiserKind(
        summary="Adam with Nesterov momentum (Dozat 2016)", implementation="torch.optim:NAdam", options=ADAM
    ),
    "radam": OptimiserKind(
        summary="rectified Adam (Liu et al. 2020)", implementation="torch.optim:RAdam", options=ADAM
    ),
    "adamax": OptimiserKind(
        summary="Adam with the infinity norm (Kingma and Ba 2015)", implementation="torch.optim:Adamax", options=ADAM
    ),
    "sgd": OptimiserKind(
        summary="stochastic gradient descent, optionally with momentum",
        implementation="torch.optim:SGD",
        options={"momentum": 0.0, "nesterov": False},
        fused=True,
    ),
    "asgd": OptimiserKind(
        summary="SGD that evaluates averaged weights (Polyak and Juditsky 1992)",
        implementation="genera.blocks.averaged_sgd:AveragedSGD",
        options={"average_from": 0},
        fused=True,
    ),
    "nt-asgd": OptimiserKind(
        summary="SGD that starts averaging when validation stops improving (Merity et al. 2018)",
        implementation="genera.blocks.averaged_sgd:TriggeredSGD",
        options={"patience": 5},
        fused=True,
    ),
    "rmsprop": OptimiserKind(
        summary="RMSprop (Tieleman and Hinton 2012)",
        implementation="torch.optim:RMSprop",
        options={"eps": 1e-8, "momentum": 0.0, "smoothing": 0.99},
        keywords={"smoothing": "alpha"},
    ),
    "adagrad": OptimiserKind(
        summary="Adagrad (Duchi et al. 2011)", implementation="torch.optim:Adagrad", options={"eps": 1e-10}, fused=True
    ),
    "adadelta": OptimiserKind(
        summary="Adadelta (Zeiler 2012)",
        implementation="torch.optim:Adadelta",
        options={"eps": 1e-6, "smoothing": 0.9},
        keywords={"smoothing": "rho"},
    ),
}


ADAM_FAMILY = tuple(name for name, kind in OPTIMISERS.items() if kind.options == ADAM)
"""The optimisers with the options betas and eps."""


def choice_complaints(name: str, flag: str, allowed: Iterable[str] = OPTIMISERS) -> list[str]:
    """The complaint, if any, about the optimiser `name` that a config selects with the option `flag`."""
    allowed = tuple(allowed)
    return [] if name in allowed else [f"{flag} must be one of {', '.join(allowed)}, got {name!r}"]


def register_optimiser(name: str, kind: OptimiserKind) -> None:
    """Make another optimiser available as `--optimiser NAME`."""
    if name in OPTIMISERS:
        raise GeneraError(f"an optimiser named {name!r} is registered twice.")
    OPTIMISERS[name] = kind


def optimiser_named(name: str) -> OptimiserKind:
    """Raises GeneraError for an unknown name, suggesting the closest one."""
    if name not in OPTIMISERS:
        raise unknown("optimiser", name, OPTIMISERS)
    return OPTIMISERS[name]


def build_optimiser(
    name: str, parameters: Iterable[Any], *, lr: float, weight_decay: float = 0.0, fused: bool = False, **options: Any
) -> Optimizer:
    """The optimiser `name` over parameters or parameter groups.

    fused: use fused kernels if available. options: None for the optimiser's default. Raises GeneraError for an unknown
    name or option.
    """
    kind = optimiser_named(name)
    given = {option: value for option, value in options.items() if value is not None}
    if complaints := option_complaints("optimiser", name, kind.options, given):
        raise GeneraError("; ".join(complaints) + ".")
    values = {kind.keywords.get(option, option): value for option, value in {**kind.options, **given}.items()}
    if kind.fused:
        values["fused"] = fused
    module, class_name = kind.implementation.split(":")
    return getattr(importlib.import_module(module), class_name)(parameters, lr=lr, weight_decay=weight_decay, **values)
