"""`genera`: picks the command and turns errors into one sentence. Imports a command's module only when it is called."""

import importlib
import keyword
import sys
import time

from genera import __version__
from genera.errors import GeneraError, Stopped, unknown

COMMANDS = {
    "demo": "train, measure and report a small Optimus on the embedded captions world",
    "list": "what there is: methods, presets, shipped models, data sources, worlds",
    "train": "train METHOD:PRESET on your data; the same command goes on after a kill",
    "evaluate": "measure a run on held-out data, with a diagnosis in plain words",
    "measure": "FID, KID, BLEU, … of two folders of images or two files of texts, without a run",
    "report": "one self-contained HTML page of a run",
    "compare": "the same page across runs",
    "ablate": "train, measure and compare several settings over several seeds",
    "sample": "draw from a trained model",
    "reconstruct": "encode and decode your own items",
    "encode": "latents of your own items, to a file",
    "interpolate": "items on the way from A to B",
    "walk": "items on the way between seeds, in a grid if they are images",
    "mix": "style mixing: a table of images with coarse styles of one seed and fine ones of another",
    "translate": "a folder of images into the other domain",
    "analogy": "A is to B as C is to ?",
    "guide": "generate items that carry a label",
    "respond": "responses to what was said, by a dialogue model",
    "chat": "a conversation with a dialogue model",
    "probe": "how few labels a classifier on the model's features needs",
    "describe": "paths of a navigation agent in words",
    "navigate": "walk with a trained agent; check graphs and episodes, run baselines, score trajectories",
    "import": "make a run of weights from elsewhere: BERT and GPT-2, an exported or an original Optimus",
    "new": "write a package with a method of your own, its tests and its card",
    "completion": "a script that completes commands, presets and options in your shell",
    "verify": "read a run or the cache of prepared data whole, and say what is damaged",
    "export": "write a run as a Hugging Face folder with safetensors and a model card",
}
"""name → summary; the module is `genera.cli.NAME` (`NAME_` for a word of Python), with `main(arguments)`"""


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `genera` script."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if arguments[0] == "--version":
        print(f"genera {__version__}")
        return
    if "--quiet" in arguments:
        from genera.console import quiet

        with quiet():
            main([word for word in arguments if word != "--quiet"])
        return
    name, *rest = arguments
    try:
        if name not in COMMANDS:
            raise unknown("command", name, COMMANDS)
        module = f"{name}_" if keyword.iskeyword(name) else name
        importlib.import_module(f"genera.cli.{module}").main(rest)
    except GeneraError as error:
        from genera.console import PATIENCE, is_main_rank

        if not is_main_rank():
            time.sleep(PATIENCE)
        sys.exit(f"error: {error}")
    except Stopped as stopped:  # saved, and still not done: 130 after Ctrl-C, 143 after SIGTERM, as shells count
        from genera.console import say

        say(str(stopped))
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)


def overview() -> str:
    commands = "\n".join(f"  {name:<12} {summary}" for name, summary in COMMANDS.items())
    return f"""genera: train, diagnose, compare and use deep generative models

usage: genera COMMAND [options]      `genera COMMAND --help` explains each
       --quiet                       no messages and no progress; results and errors only

{commands}

a first session:
  genera interpolate optimus-mini "a man is holding a kite near the church ." "two dogs are chasing the ball ."
  genera demo
  genera train optimus:nano --data text:my_sentences.txt --out runs/mine
  genera evaluate runs/mine && genera report runs/mine
  genera interpolate runs/mine "a sentence ." "another sentence ." """.rstrip()
