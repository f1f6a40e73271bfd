"""What the commands that use a trained model share: where it is, how to decode, how to print."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genera.cli.parsing import print_json
from genera.errors import GeneraError

if TYPE_CHECKING:
    from genera.uses.run import Run


@dataclass(frozen=True, kw_only=True)
class UseOptions:
    """Options of every command that loads a run."""

    checkpoint: str = "last"
    """Which weights: last, best, previous or a step number."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    json: bool = False
    """Print JSON on stdout."""

    def load(self, path: Path) -> "Run":
        from genera.uses.run import load

        return load(path, device=self.device, checkpoint=self.checkpoint)


@dataclass(frozen=True, kw_only=True)
class DecodeOptions(UseOptions):
    """Options of every command that generates. Those left out are the method's own."""

    temperature: float | None = None
    """0 is greedy, 1 samples from the model."""
    top_k: int | None = None
    """Sample among the k likeliest tokens."""
    top_p: float | None = None
    """Sample among the fewest likeliest tokens that together have this probability."""
    max_tokens: int | None = None
    """New tokens at most."""
    seed: int = 0
    """Seed of every draw."""

    def options(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in ("temperature", "top_k", "top_p", "max_tokens")}
        return {name: value for name, value in values.items() if value is not None} | {"seed": self.seed}


@dataclass(frozen=True, kw_only=True)
class ShowOptions(DecodeOptions):
    """Options of every command that prints sentences, or writes images."""

    out: Path | None = None
    """Images: the .png to write them to, in a grid; or a folder, for a .png each (00000.png, 00001.png, …)."""
    columns: int | None = None
    """Images: columns of the grid [as many as rows]."""
    classes: tuple[str, ...] = ()
    """Images: classes by name or number, which take turns [drawn at random]."""
    truncation: float | None = None
    """Images: smaller is more typical and less varied; what it means is the method's."""

    def asked(self, run: "Run") -> dict[str, Any]:
        """Options for the method of `run`. Raises GeneraError, before anything is generated, where they do not fit."""
        if run.method.dataset.kind not in ("images", "image-pairs"):
            if (self.out, self.columns, self.truncation) != (None, None, None) or self.classes:
                raise GeneraError(
                    f"{run.config.method} makes sentences; --out, --columns, --classes and --truncation are for images."
                )
            return self.options()
        if self.out is None:
            raise GeneraError(
                f"{run.config.method} makes images; say where they should go: --out grid.png, or --out FOLDER."
            )
        if self.out.suffix.lower() not in (".png", "") or (self.out.exists() and self._in_grid == self.out.is_dir()):
            raise GeneraError(f"--out {self.out} must end in .png, or be a folder.")
        if self.out.is_dir() and any(self.out.iterdir()):
            raise GeneraError(f"the folder {self.out} is not empty; give a new one.")
        if self.columns is not None and (self.columns < 1 or not self._in_grid):
            raise GeneraError(f"--columns must be at least 1, of a grid (--out grid.png), got {self.columns}.")
        if words := self.options().keys() - {"seed"}:
            named = ", ".join(f"--{word.replace('_', '-')}" for word in sorted(words))
            raise GeneraError(f"{run.config.method} makes images; {named} is for sentences.")
        known = run.method.assets.classes
        classes = [name if name in known or not name.isdigit() else int(name) for name in self.classes]
        truncation = {} if self.truncation is None else {"truncation": self.truncation}
        return self.options() | truncation | ({"classes": classes} if classes else {})

    def deliver(self, items: list[Any]) -> None:
        """Print sentences; write images where `asked` said."""
        if self.out is None:
            show(items, self.json)
            return
        if self._in_grid:
            from genera.uses.grids import write_grid

            write_grid(self.out, items, self.columns)
        else:
            from genera.data.images.files import write_png

            for number, image in enumerate(items):
                write_png(self.out / f"{number:05d}.png", image)
        print_json({"images": str(self.out), "count": len(items)}) if self.json else print(self.out)

    @property
    def _in_grid(self) -> bool:
        return self.out is not None and self.out.suffix.lower() == ".png"


def given(items: tuple[str, ...], file: Path | None) -> list[str]:
    """Items from the command line, or one a line from a file (`-` is standard input)."""
    if bool(items) == bool(file):
        raise GeneraError("give sentences on the command line, or --input FILE (one a line), and not both.")
    if not file:
        return list(items)
    where = "standard input" if str(file) == "-" else str(file)
    try:
        text = (sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()).decode()
    except OSError as error:
        raise GeneraError(f"cannot read {where}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise GeneraError(f"{where} is not UTF-8; convert it first, for example with iconv.") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise GeneraError(f"{where} holds no sentences; one a line was expected.")
    return lines


def show(values: list[Any], as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        print("\n".join(map(str, values)))
