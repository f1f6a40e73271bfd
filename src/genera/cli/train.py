"""`genera train METHOD:PRESET`: every field of the three configs is an option, with the preset's value as default."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from genera.cli.parsing import print_json
from genera.cli.plan import planned, show_result
from genera.cli.run_config import is_config, parsed
from genera.console import is_main_rank, say
from genera.engine.config import RunConfig
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
    if not arguments or (arguments[0].startswith("-") and not any(map(is_config, arguments))):
        if arguments and arguments[0] not in ("-h", "--help"):
            raise GeneraError(f"name the method first: genera train METHOD:PRESET {' '.join(arguments)}")
        print(HELP)
        return
    arguments, was_planned = planned(arguments, COMMAND)
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
    elif was_planned and is_main_rank():
        show_result(folder.path)
    say(f"next: genera evaluate {folder.path} && genera report {folder.path}")


def run_of(arguments: list[str]) -> RunConfig:
    """The checked config of METHOD[:PRESET] [options]; a config.yaml may take the place of the method."""
    return parsed(arguments, "train", COMMAND)[1]


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
