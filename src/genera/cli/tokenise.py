"""`genera tokenise METHOD:PRESET --data SOURCE`: prepare a large corpus before training, on any number of machines."""

import os
from typing import Annotated, Any

import tyro

from genera.cli.parsing import print_json
from genera.cli.run_config import parsed
from genera.console import is_main_rank, say
from genera.engine import registry
from genera.errors import GeneraError

HELP = """usage: genera tokenise METHOD[:PRESET] --data SOURCE [--workers N] [options of the data]

Tokenises the corpus of a run into the cache of prepared data, where `genera train` with the same data options finds it.
A large source (large plain files, many files, a hub data set of several files) is tokenised in shards of 64 MB of text
by several processes. Rerun the command to resume: finished shards are kept. On a cluster, start it on each machine with
RANK and WORLD_SIZE set, or with torchrun, and let them share GENERA_CACHE: every rank writes its own shards. `genera
train` on several ranks does the same, but occupies its devices meanwhile.

  genera tokenise optimus:paper --data "text:wiki/*.txt" --workers 16
  RANK=3 WORLD_SIZE=8 genera tokenise optimus:paper --data "text:wiki/*.txt"
  genera tokenise optimus:paper --data hub:some/corpus"""

COMMAND = (
    (
        "workers",
        Annotated[int | None, tyro.conf.arg(help="Number of processes [one per CPU core of this machine].")],
        None,
    ),
    ("json", Annotated[bool, tyro.conf.arg(help="Print the result as JSON on stdout.")], False),
)


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return
    command, config = parsed(arguments, "tokenise", COMMAND)
    dataset = registry.entry(config.method).load().dataset
    if not hasattr(dataset, "tokenise"):
        raise GeneraError(f"{config.method} does not train on texts; there is nothing to tokenise.")
    result: dict[str, Any] = dataset.tokenise(config.data, workers=_workers(command.workers), **_ranks())
    if command.json and is_main_rank():
        print_json(result)
    if result["complete"] < result["shards"]:
        missing = result["shards"] - result["complete"]
        say(f"{missing} of {result['shards']} shards are left to other ranks, or to a rerun.")


def _workers(asked: int | None) -> int:
    if asked is not None and asked < 1:
        raise GeneraError(f"--workers must be at least 1, got {asked}.")
    return asked or max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def _ranks() -> dict[str, int]:
    """This process among those that share the work, as torchrun sets it."""
    return {"rank": int(os.environ.get("RANK", 0)), "ranks": int(os.environ.get("WORLD_SIZE", 1))}
