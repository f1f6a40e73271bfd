"""Export a run: weights in the Hugging Face layout, settings, and a model card."""

from pathlib import Path

from genera import __version__
from genera.engine.capabilities import Shares
from genera.engine.config import to_dict
from genera.errors import GeneraError
from genera.files import atomic, write_json, write_text
from genera.report.card import model_card
from genera.uses.run import Run
from genera.uses.share import ABOUT

_ABOUT_LINE = (
    f"- `{ABOUT}`: all settings. `genera import {{method}} FOLDER --out runs/NAME` converts the folder back to a run."
)


def export_run(run: Run, out: str | Path, *, evaluation: str | None = None, trimmed: bool = False) -> Path:
    """Write `run` to the new folder `out`: weights and tokenisers in the Hugging Face layout, settings, a model card.

    evaluation: name, or a prefix of it, of the evaluation whose figures the card shows [the newest].
    trimmed: export a trimmed vocabulary as it is, instead of restoring the whole one.
    Raises GeneraError when the method does not support export, `out` exists, or the whole vocabulary cannot be found.
    """
    out, shares = Path(out), run.able(Shares, "be exported")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise GeneraError(f"{out} already exists; choose another --out.")
    with atomic(out) as folder:
        folder.mkdir()
        files = f"{shares.export(folder, trimmed=trimmed)}\n{_ABOUT_LINE.format(method=run.config.method)}"
        write_json(folder / ABOUT, {"genera": __version__, **to_dict(run.config)})
        write_text(folder / "README.md", model_card(run, files, evaluation=evaluation))
    return out
