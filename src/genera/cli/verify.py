"""`genera verify [RUN|CACHE]`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.errors import GeneraError


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Read all files of a run's checkpoints, or of prepared data, and check them against their checksums."""

    where: Positional[Path | None] = None
    """A run folder, or a cache [the cache of prepared data]."""
    json: bool = False
    """Print the result as JSON on stdout."""


def main(arguments: list[str]) -> None:
    command = parse(Verify, arguments, "verify")
    from genera.data.cache import CHECKSUMS, cache_folder, verify

    where = command.where or cache_folder()
    if (where / "config.yaml").is_file() and not (where / CHECKSUMS).is_file():
        checked, damaged = _run(where)
        kind, unchecked = "checkpoints", []
    else:
        result = verify(where)
        checked, damaged, kind, unchecked = result.folders, result.damaged, "folders", result.unchecked
    if command.json:
        print_json({"where": str(where), kind: checked, "damaged": damaged, "unchecked": unchecked})
    else:
        for problem in damaged:
            print(problem)
        print(f"{where}: {checked} {kind} read, {len(damaged)} damaged.")
    if damaged:
        fix = "resume from another one with --resume" if kind == "checkpoints" else "they are rebuilt on next use"
        raise GeneraError(f"{len(damaged)} of {checked} {kind} of {where} are damaged; {fix}.")


def _run(folder: Path) -> tuple[int, list[str]]:
    """Number of checkpoints of a run, and a message for each damaged one."""
    from genera.engine import checkpoint
    from genera.engine.folder import RunFolder

    damaged = []
    checkpoints = checkpoint.list_checkpoints(RunFolder.existing(folder).checkpoints)
    for path in checkpoints:
        try:
            checkpoint.verify(path)
        except GeneraError as error:
            damaged.append(str(error).partition("; ")[0])
    return len(checkpoints), damaged
