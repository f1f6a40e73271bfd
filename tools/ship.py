"""Put a finished run into the package: `python tools/ship.py RUN` (see `make optimus-mini`).

Kept is what loading, reporting and `--init` need: one checkpoint without optimisers, the tokenisers, the settings,
metrics and evaluation, and a model card.
"""

import shutil
import sys
from pathlib import Path

from genera.engine import checkpoint
from genera.engine.shipped import FOLDER, SHIPPED
from genera.errors import GeneraError, unknown
from genera.evaluation.storage import FOLDER as EVALUATIONS
from genera.files import atomic, read_json, write_json, write_text
from genera.report.card import model_card
from genera.run import load
from genera.uses.typical import FILE as TYPICAL

WEIGHTS = "weights.safetensors"
FILES = f"""\
- `checkpoints/`: `{WEIGHTS}`, the weights, and how far training was.
- `assets/`: the two tokenisers. `config.yaml`: all settings. `metrics.jsonl`, `evaluations/`: training and measures.
- `typical.json`: nats per word of held-out texts, for warnings about other input.
- `genera export NAME --out FOLDER` writes the same model in the Hugging Face layout."""

LIMITS = (
    "For first steps and tests: 0.6 M weights where the published model has 233 M, and no text that people wrote.",
    "Its words are those of the worlds. It warns of other words, and answers them with a sentence of the worlds.",
    "Captions come back word for word; instructions of world:houses, 38 words long, do not.",
    "The texts are the project's own, drawn from its grammars; they carry the project's licence.",
)


def ship(source: Path, out: Path) -> None:
    """Write the run at `source` to `out`, which is replaced."""
    run = load(source)
    (chosen,) = [checkpoint.pick(run.folder.checkpoints)]
    if chosen is None or (chosen / "average.safetensors").exists() or not (source / TYPICAL).exists():
        raise GeneraError(f"{source} must have a checkpoint without moving average, and `genera evaluate` behind it.")
    shutil.rmtree(out, ignore_errors=True)
    with atomic(out) as folder:
        shutil.copytree(source / "assets", folder / "assets", ignore=shutil.ignore_patterns(".done"))
        shutil.copytree(source / EVALUATIONS, folder / EVALUATIONS)
        for name in ("config.yaml", "metrics.jsonl", "status.json", TYPICAL):
            shutil.copyfile(source / name, folder / name)
        target = folder / "checkpoints" / chosen.name
        target.mkdir(parents=True)
        shutil.copyfile(chosen / WEIGHTS, target / WEIGHTS)
        state = read_json(chosen / "state.json")
        kept = {"groups": {}, "files": {WEIGHTS: state["files"][WEIGHTS]}}
        write_json(target / "state.json", state | kept)
        write_text(folder / "README.md", model_card(run, FILES, LIMITS))


if __name__ == "__main__":
    run = Path(sys.argv[1])
    if run.name not in SHIPPED:
        raise unknown("shipped model", run.name, SHIPPED)
    ship(run, FOLDER / run.name)
