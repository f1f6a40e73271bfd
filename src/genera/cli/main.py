"""`genera`: dispatch to a command and print errors as one sentence. Imports the module of the called command only."""

import importlib
import keyword
import os
import sys
import time
import warnings
from contextlib import suppress
from typing import Any

from genera import __version__
from genera.cli.crash import OPTION, VARIABLE, check_arguments, crash, print_traceback
from genera.errors import FarFromTraining, GeneraError, Stopped, unknown

COMMANDS = {
    "demo": "train, measure and report a small Optimus on the embedded captions world",
    "list": "list methods, presets, shipped models, data sources and worlds",
    "train": "train METHOD:PRESET on your data; rerun the command to resume",
    "tokenise": "prepare a large corpus in resumable shards, on any number of machines",
    "evaluate": "measure a run on held-out data and diagnose it in plain words",
    "measure": "compute FID, KID, BLEU, … of two image folders or two text files, without a run",
    "report": "write a self-contained HTML page about a run",
    "compare": "write a page that compares runs",
    "ablate": "train, measure and compare several settings over several seeds",
    "sample": "draw from a trained model",
    "score": "compute the perplexity of each line of a file, or predict its last word",
    "reconstruct": "encode and decode your own items",
    "encode": "write the latents of your own items to a file",
    "decode": "decode latents from a file",
    "interpolate": "interpolate between two items",
    "walk": "interpolate between random latents, given by their seeds",
    "mix": "style mixing: a table of images with coarse styles of one seed and fine styles of another",
    "translate": "translate a folder of images to the other domain",
    "analogy": "complete an analogy: A is to B as C is to ?",
    "guide": "generate items with a given label",
    "respond": "generate responses with a dialogue model",
    "chat": "chat with a dialogue model",
    "probe": "measure how few labels a classifier on the model's features needs",
    "describe": "generate instructions for navigation paths",
    "navigate": "run a trained agent; check graphs and episodes, run baselines, score trajectories",
    "import": "convert existing weights to a run: BERT and GPT-2, an exported run, the original Optimus",
    "new": "create a package for your own method, with tests and a card",
    "completion": "print a shell script that completes commands, presets and options",
    "verify": "check the checkpoints of a run, or the cache of prepared data, for damage",
    "export": "export a run to a Hugging Face folder with safetensors and a model card",
}
"""name → summary; the module is `genera.cli.NAME` (`NAME_` for a Python keyword), with `main(arguments)`"""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `genera` script."""
    try:
        try:
            _run(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout or stderr has gone (`| head`): as if ended by SIGPIPE
        from genera.console import discard

        discard(sys.stdout)
        sys.exit(141)


def _run(arguments: list[str]) -> None:
    shown = OPTION in arguments or VARIABLE in os.environ
    arguments = [word for word in arguments if word != OPTION]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if arguments[0] == "--version":
        print(f"genera {__version__}")
        return
    if "--quiet" in arguments:
        from genera.console import quiet

        with quiet():
            _run([word for word in arguments if word != "--quiet"])
        return
    name, *rest = arguments
    try:
        check_arguments(arguments)
        if name not in COMMANDS:
            raise unknown("command", name, COMMANDS)
        module = f"{name}_" if keyword.iskeyword(name) else name
        with warnings.catch_warnings():
            warnings.simplefilter("always", FarFromTraining)
            warnings.showwarning = _show_warning
            importlib.import_module(f"genera.cli.{module}").main(rest)
    except GeneraError as error:
        if shown:
            print_traceback(error)
        _give_way()
        sys.exit(f"error: {error}")
    except Stopped as stopped:  # saved but not finished: 130 after Ctrl-C, 143 after SIGTERM, as in shells
        from genera.console import say

        with suppress(BrokenPipeError):  # the terminal was closed
            say(str(stopped))
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        sys.exit(130)
    except (SystemExit, GeneratorExit, BrokenPipeError):
        raise
    except BaseException as error:  # also panics of Rust libraries, which are no Exceptions
        if shown:
            print_traceback(error)
        sentence, code = crash(error, arguments)
        _give_way()
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(code)


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Warnings about the input as one sentence; others with their place in the code, as usual."""
    from genera.console import say

    if issubclass(category, FarFromTraining):
        say(f"warning: {message}")
    else:
        print(warnings.formatwarning(message, category, *place[:2]), end="", file=sys.stderr)


def _give_way() -> None:
    """On other ranks than the main one, wait: torchrun ends all ranks soon after the first failure, so that only one
    error is printed."""
    from genera.console import PATIENCE, is_main_rank

    if not is_main_rank():
        time.sleep(PATIENCE)


def overview() -> str:
    commands = "\n".join(f"  {name:<12} {summary}" for name, summary in COMMANDS.items())
    return f"""genera: train, diagnose, compare and use deep generative models

usage: genera COMMAND [options]      `genera COMMAND --help` describes a command
       --quiet                       print only results and errors
       --traceback                   print the Python traceback of an error

{commands}

getting started:
  genera interpolate optimus-mini "a man is hiding a kite near the church ." "a man is hiding a drum near the school ."
  genera demo
  genera train optimus:nano --data text:my_sentences.txt --out runs/mine
  genera evaluate runs/mine && genera report runs/mine
  genera interpolate runs/mine "a sentence ." "another sentence ." """.rstrip()
