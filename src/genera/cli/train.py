"""`genera train METHOD:PRESET`: every field of the three configs is an option, with the preset's value as default."""

import importlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from genera.cli.parsing import parse, print_json
from genera.cli.sections import Sections
from genera.console import say
from genera.engine import registry
from genera.engine.config import RunConfig, TrainConfig, with_budget
from genera.errors import GeneraError

HELP = """usage: genera train METHOD[:PRESET] --out RUN [--data SOURCE] [options]
       genera train --config FILE --out RUN [options]

Trains a model into a run folder. Rerun the command to resume; a finished run is left unchanged. To train longer, rerun
it with a larger --steps, --epochs or --minutes: training resumes from the last checkpoint, including optimiser state,
and the learning rate follows its schedule over the new budget from there. --config reruns a saved config.yaml.
`genera list` shows the presets, `genera train METHOD:PRESET --help` all options of a preset.

  genera train optimus --data text:my_sentences.txt --minutes 15 --out runs/mine   (plans: preset, what to expect)
  genera train optimus:nano --data world:captions --out runs/captions
  genera train optimus:nano --data text:my_sentences.txt --out runs/mine --steps 2000 --beta 0.5
  genera train optimus:nano --data text:my_sentences.txt --out runs/mine --steps 4000 --beta 0.5
  genera train --config runs/mine/config.yaml --out runs/again --seed 7
  genera train optimus:paper --dry-run
  torchrun --nproc-per-node 2 -m genera train optimus:nano --data text:big.txt.gz --out runs/big
  torchrun --nproc-per-node 8 -m genera train optimus:paper --data text:wiki --out runs/wiki --sharding fsdp"""

BUDGETS = ("steps", "epochs", "minutes")
FIRST = ("data", *BUDGETS, "batch_size", "lr", "seed", "device", "init")
"""Options that most runs need, shown before all groups."""
GROUPS = {
    "logging": ("log_every", "validate_every", "validate_batches", "checkpoint_every", "keep", "track"),
    "memory": ("accumulate", "precision", "sharding", "replicas", "tensor_parallel", "compile", "checkpointing"),
}
"""Group of the help → fields; the others are grouped as data, train and model."""
COMMAND = (
    ("out", Annotated[Path | None, tyro.conf.arg(help="The run folder: a new one, or one to resume.")], None),
    (
        "dry_run",
        Annotated[bool, tyro.conf.arg(help="Only print config, parameters, FLOPs and memory.")],
        False,
    ),
    (
        "ranks",
        Annotated[int | None, tyro.conf.arg(help="With --dry-run: number of ranks to plan for, on any mesh of them.")],
        None,
    ),
    (
        "device_memory",
        Annotated[
            float | None,
            tyro.conf.arg(help="With --dry-run: GB of memory of a device, to say what fits [this one's]."),
        ],
        None,
    ),
    ("resume", Annotated[str, tyro.conf.arg(help="Checkpoint to resume: last, previous, best or a step.")], "last"),
    ("json", Annotated[bool, tyro.conf.arg(help="Print the result as JSON on stdout.")], False),
)


def main(arguments: list[str]) -> None:
    if not arguments or (arguments[0].startswith("-") and not any(map(_is_config, arguments))):
        if arguments and arguments[0] not in ("-h", "--help"):
            raise GeneraError(f"name the method first: genera train METHOD:PRESET {' '.join(arguments)}")
        print(HELP)
        return
    arguments, planned = _planned(arguments)
    command, config = parsed(arguments, "train", COMMAND)
    if command.dry_run:
        from genera.engine.dry_run import dry_run

        result = dry_run(config, ranks=command.ranks, device_memory=command.device_memory)
        print_json(result) if command.json else _print_dry_run(result)
        return
    if command.ranks is not None or command.device_memory is not None:
        raise GeneraError("--ranks and --device-memory plan a run; add --dry-run (torchrun sets the ranks of a run).")
    if command.out is None:
        raise GeneraError("give a run folder: --out runs/NAME (or --dry-run to only print the plan).")

    from genera.engine.train import train

    folder = train(config, command.out, resume=command.resume)
    if command.json:
        print_json({"run": str(folder.path), **folder.status()})
    elif planned and os.environ.get("RANK", "0") == "0":
        _show_result(folder.path)
    say(f"next: genera evaluate {folder.path} && genera report {folder.path}")


def _planned(arguments: list[str]) -> tuple[list[str], bool]:
    """The arguments with a preset, which the planner of a method has chosen for a budget in minutes, and whether it
    has. A run that was begun keeps its preset."""
    spec, rest = _spec(arguments)
    asked = any(word.partition("=")[0] == "--minutes" for word in rest) and not {"-h", "--help"} & set(rest)
    if ":" in spec or spec.endswith((".yaml", ".yml")) or not asked:
        return arguments, False
    entry = registry.entry(spec)
    if entry.planner is None:
        return arguments, False
    command, _ = parsed(arguments, "train", COMMAND)
    if command.out is not None and (command.out / "config.yaml").exists():
        preset = registry.read_config(command.out).preset
    else:
        module, _, name = entry.planner.partition(":")
        planner = getattr(importlib.import_module(module), name)
        preset = planner(lambda preset: parsed([f"{spec}:{preset}", *rest], "train", COMMAND)[1])
    return [f"{spec}:{preset}", *rest], True


QUICK: dict[str, dict[str, int]] = {
    "likelihood": {"items": 200, "samples": 10},
    "reconstruction": {"items": 300},
    "latent": {"items": 300},
    "samples": {"count": 200},
    "fluency": {"count": 200},
    "interpolation": {"pairs": 30},
}
"""Options of the short evaluation after a planned training."""


def _show_result(run: Path) -> None:
    """Measure the run shortly, unless it has an evaluation, and print verdicts, findings and samples as they come."""
    from genera.cli.evaluate import MARKS
    from genera.evaluation.evaluate import evaluate
    from genera.evaluation.registry import evaluator
    from genera.evaluation.storage import chosen
    from genera.evaluation.verdict import grades
    from genera.run import load

    loaded = load(run)
    kind = loaded.method.dataset.kind
    options: dict[str, Any] = {n: v for n, v in QUICK.items() if not evaluator(n).lacks(loaded.method, kind)}
    stored = chosen(run) or evaluate(loaded, **options)
    print("\nwhat came out, on held-out texts:")
    for use, grade in grades(stored.diagnosis).items():
        print(f"  {grade.upper():<8} {use}")
    for finding in stored.diagnosis:
        print(f"{MARKS[finding['level']]} {finding['finding']}")
    print("three samples as they came:", *loaded.sample(3, seed=0), sep="\n  ")


def run_of(arguments: list[str]) -> RunConfig:
    """The checked config of METHOD[:PRESET] [options]; a config.yaml may take the place of the method."""
    return parsed(arguments, "train", COMMAND)[1]


def parsed(arguments: list[str], name: str, options: tuple[Any, ...]) -> tuple[Any, RunConfig]:
    """The options of the command `name` itself, and the checked config that the others describe."""
    spec, rest = _spec(arguments)
    default = registry.read_config(spec) if spec.endswith((".yaml", ".yml")) else registry.preset(spec)[1]
    sections = Sections({"data": default.data, "train": default.train, "model": default.model}, FIRST, GROUPS)
    command = parse(sections.command("Train", f"{name.title()} {spec}.", options), rest, f"{name} {spec}")
    chosen = sections.parsed(command)
    config = replace(default, **chosen | {"train": _budget(chosen["train"], rest)})
    config.check()
    return command, config


def _spec(arguments: list[str]) -> tuple[str, list[str]]:
    """METHOD[:PRESET] or a saved config file (bare or after --config), and the remaining options."""
    place = next((i for i, word in enumerate(arguments) if _is_config(word)), None)
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


def _is_config(word: str) -> bool:
    return word.partition("=")[0] == "--config"


def _budget(train: TrainConfig, arguments: list[str]) -> TrainConfig:
    """A budget on the command line replaces the preset's."""
    given = {b for b in BUDGETS if any(a == f"--{b}" or a.startswith(f"--{b}=") for a in arguments)}
    return with_budget(train, **{b: getattr(train, b) for b in given}) if given else train


def _print_dry_run(result: dict[str, Any]) -> None:
    import yaml

    print(yaml.safe_dump(result["config"], sort_keys=False), end="")
    for stage, estimate in result.get("stages", {"": result}).items():
        print(f"\nstage {stage}" if stage else "")
        _print_step(estimate)


def _print_step(result: dict[str, Any]) -> None:
    """Players, FLOPs and memory of one step, and of the meshes of ranks."""
    for name, player in result["players"].items():
        print(f"player {name}: {player['parameters']:,} parameters, {player['trainable']:,} trainable")
    print(f"FLOPs a step: {result['flops_per_step']:.3g} ({result['basis']})")
    parts = ", ".join(f"{name} {size / 2**20:,.0f} MB" for name, size in result["memory_bytes"].items())
    print(f"memory: {parts}")
    device, least = f"a device of {result['device_bytes'] / 2**30:,.0f} GB", result["smallest"]
    if result["fits"]:
        print(f"it fits {device}")
    elif least:
        size = least["memory_bytes"]["total"] / 2**20
        print(f"it does not fit {device}; {least['ranks']} ranks with {least['options']} do, {size:,.0f} MB each")
    else:
        print(f"no mesh of ranks over which the batch divides fits {device}; use --checkpointing or --accumulate")
    if result["meshes"]:
        _print_meshes(result["meshes"])


def _print_meshes(meshes: list[dict[str, Any]]) -> None:
    """A line for each mesh of ranks: memory of a rank, and what it sends in a step."""
    names = [name for name in meshes[0]["memory_bytes"] if name != "total"]
    width = max(len(mesh["options"]) for mesh in meshes) + 2
    print("\nMB of a rank".ljust(width + 8) + "".join(f"{name:>13}" for name in [*names, "total", "sent a step"]))
    for mesh in meshes:
        sizes = [mesh["memory_bytes"][name] for name in [*names, "total"]] + [sum(mesh["traffic_bytes"].values())]
        line = f"{mesh['ranks']:>5}  {mesh['options']:<{width}}" + "".join(f"{size / 2**20:>13,.0f}" for size in sizes)
        print(line + ("" if mesh["fits"] else "  too large"))
