"""The config of a run from the command line: every field of its three parts is an option, with a preset's values."""

from dataclasses import replace
from typing import Any

from genera.cli.parsing import parse
from genera.cli.sections import Sections
from genera.engine import registry
from genera.engine.config import RunConfig, TrainConfig, with_budget
from genera.errors import GeneraError

BUDGETS = ("steps", "epochs", "minutes")
FIRST = ("data", *BUDGETS, "batch_size", "lr", "seed", "device", "init")
"""Options that most runs need, shown before all groups."""
GROUPS = {
    "logging": ("log_every", "validate_every", "validate_batches", "checkpoint_every", "keep", "track"),
    "memory": ("accumulate", "precision", "sharding", "replicas", "tensor_parallel", "compile", "checkpointing"),
}
"""Group of the help → fields; the others are grouped as data, train and model."""


def parsed(arguments: list[str], name: str, options: tuple[Any, ...]) -> tuple[Any, RunConfig]:
    """The options of the command `name` itself, and the checked config that the others describe."""
    spec, rest = spec_of(arguments)
    default = registry.read_config(spec) if spec.endswith((".yaml", ".yml")) else registry.preset(spec)[1]
    sections = Sections({"data": default.data, "train": default.train, "model": default.model}, FIRST, GROUPS)
    command = parse(sections.command("Train", f"{name.title()} {spec}.", options), rest, f"{name} {spec}")
    chosen = sections.parsed(command)
    config = replace(default, **chosen | {"train": _budget(chosen["train"], rest)})
    config.check()
    return command, config


def spec_of(arguments: list[str]) -> tuple[str, list[str]]:
    """METHOD[:PRESET] or a saved config file (bare or after --config), and the remaining options."""
    place = next((i for i, word in enumerate(arguments) if is_config(word)), None)
    if place is None:
        return arguments[0], arguments[1:]
    _, given, file = arguments[place].partition("=")
    rest = arguments[:place] + arguments[place + 1 :]
    if not given:
        if place == len(rest):
            raise GeneraError("--config needs a file: genera train --config RUN/config.yaml --out NEW")
        file = rest.pop(place)
    if rest and not rest[0].startswith("-"):
        raise GeneraError(f"give METHOD:PRESET or --config, not both (got {rest[0]} and --config {file}).")
    return file if file.endswith((".yaml", ".yml")) else f"{file}/config.yaml", rest


def is_config(word: str) -> bool:
    return word.partition("=")[0] == "--config"


def _budget(train: TrainConfig, arguments: list[str]) -> TrainConfig:
    """A budget on the command line replaces the preset's."""
    given = {b for b in BUDGETS if any(a == f"--{b}" or a.startswith(f"--{b}=") for a in arguments)}
    return with_budget(train, **{b: getattr(train, b) for b in given}) if given else train
