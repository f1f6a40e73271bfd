"""Items on the command line: one reader and printer per item type (sentences, images, paths of navigation graphs).

A command takes `ItemOptions`, gets the reader and printer from `items_of(run)`, and knows nothing else of item types.
"""

import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genera.cli.parsing import print_json
from genera.cli.uses import WORDS, DecodeOptions
from genera.data.files import Line, lines_of, read_lines
from genera.errors import GeneraError
from genera.files import reading
from genera.numerals import integer

if TYPE_CHECKING:
    from torch import Tensor

    from genera.run import Run

PICTURES = ("out", "columns", "classes", "truncation")
"""Options of `ItemOptions` that are for images."""
MOST_INPUT = 1 << 28
"""Characters that are read of --input, which may be a stream without end."""
STREAMS = ("/dev/stdin", "/dev/fd", "/proc/self/fd")
"""Places of open streams, such as the shell's <(COMMAND). Other pipes and devices are refused: they may never end."""


@dataclass(frozen=True, kw_only=True)
class ItemOptions(DecodeOptions):
    """Options of every command that generates items of any type."""

    out: Path | None = None
    """Images: a .png for one grid of all, or a folder for one .png each (00000.png, 00001.png, …)."""
    columns: int | None = None
    """Images: columns of the grid [a square grid]."""
    classes: tuple[str, ...] = ()
    """Images: class names or numbers to cycle through [random classes]."""
    truncation: float | None = None
    """Images: truncation of the latent, as the method defines it; smaller values are more typical and less varied."""

    def given(self, names: Sequence[str]) -> list[str]:
        """The options among `names` that were given, as written on the command line."""
        return [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) not in (None, ())]


class Items(Protocol):
    """Reads and prints the items of one run."""

    def options(self, command: ItemOptions, use: str) -> dict[str, Any]:
        """Keyword arguments for the method's `use` (sample or decode) from the command line.

        Raises GeneraError for an option that does not apply, before anything is generated.
        """
        ...

    def read(self, words: Sequence[str], file: Path | None = None) -> tuple[list[str], list[Any]]:
        """Names and items from the command line, or from a file with one per line (`-` reads standard input).

        Raises GeneraError for an item of another type.
        """
        ...

    def one(self, word: str) -> Any:
        """The item named by one word of the command line."""
        ...

    def show(self, command: ItemOptions, items: Sequence[Any], columns: int | None = None) -> None:
        """Print the items, or write them to the command's --out. columns: of the grid, if not on the command line."""
        ...

    def show_pairs(
        self, command: ItemOptions, names: Sequence[str], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> None:
        """As `show`, for the output of each input."""
        ...


def items_of(run: "Run") -> Items:
    kind = run.method.dataset.kind
    return Images(run) if kind in ("images", "image-pairs") else Sentences(run)


class Sentences:
    def __init__(self, run: "Run") -> None:
        self.method = run.config.method

    def options(self, command: ItemOptions, use: str) -> dict[str, Any]:
        if wrong := command.given(PICTURES):
            raise GeneraError(f"{self.method} generates sentences; {_listed(wrong)} for images.")
        return command.options()

    def read(self, words: Sequence[str], file: Path | None = None) -> tuple[list[str], list[str]]:
        sentences = lines(words, file)
        for sentence in sentences:
            if Path(sentence).suffix.lower() in (".png", ".jpg", ".jpeg") and Path(sentence).is_file():
                raise GeneraError(f"{self.method} expects sentences, but {sentence} is an image file.")
        return sentences, sentences

    def one(self, word: str) -> str:
        return self.read([word])[1][0]

    def show(self, command: ItemOptions, items: Sequence[str], columns: int | None = None) -> None:
        print_texts(items, command.json)

    def show_pairs(
        self, command: ItemOptions, names: Sequence[str], inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        if command.json:
            print_json([{"input": a, "output": b, "exact": a == b} for a, b in zip(inputs, outputs, strict=True)])
        else:
            print_texts(outputs, False)


class Images:
    """Images (C, S, S) in [-1, 1]: read from files of any size and mode, written as one grid or a file each."""

    def __init__(self, run: "Run") -> None:
        self.method, self.run = run.config.method, run

    def options(self, command: ItemOptions, use: str) -> dict[str, Any]:
        if command.out is None:
            raise GeneraError(f"{self.method} generates images; give an output: --out grid.png, or --out FOLDER.")
        grid = _is_grid(command.out)
        if command.out.suffix.lower() not in (".png", "") or (command.out.exists() and grid == command.out.is_dir()):
            raise GeneraError(f"--out {command.out} must end in .png or be a folder.")
        if command.out.is_dir() and any(command.out.iterdir()):
            raise GeneraError(f"the folder {command.out} is not empty; choose a new one.")
        if command.columns is not None and (command.columns < 1 or not grid):
            raise GeneraError(f"--columns must be at least 1, of a grid (--out grid.png), got {command.columns}.")
        if wrong := command.given(WORDS):
            raise GeneraError(f"{self.method} generates images; {_listed(wrong)} for sentences.")
        known = getattr(self.run.method.assets, "classes", ())
        asked: dict[str, Any] = {}
        if command.classes:
            asked["classes"] = [n if n in known or (number := integer(n)) is None else number for n in command.classes]
        if command.truncation is not None:
            asked["truncation"] = command.truncation
        if function := getattr(self.run.method, use, None):
            taken = inspect.signature(function).parameters
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
                for name in asked.keys() - taken.keys():
                    raise GeneraError(f"{self.method} does not support --{name} here; drop it.")
        return {"seed": command.seed, **asked}

    def read(self, words: Sequence[str], file: Path | None = None) -> "tuple[list[str], list[Tensor]]":
        from genera.data.images.files import read_image
        from genera.data.images.pixels import Form

        data = self.run.config.data
        form = Form(data.image_size, data.channels, "none" if data.crop == "none" else "centre")
        paths = self._files(words, file)
        return [str(path) for path in paths], [read_image(path, form) for path in paths]

    def one(self, word: str) -> "Tensor":
        if Path(word).expanduser().is_dir():
            raise GeneraError(f"expected one image file, but {word} is a folder.")
        return self.read([word])[1][0]

    def _files(self, words: Sequence[str], file: Path | None) -> list[Path]:
        """Image files; a folder is expanded to all images in it."""
        from genera.data.images.formats import find_images

        paths = []
        for word in lines(words, file, "image files"):
            path = Path(word).expanduser()
            if path.is_dir():
                paths += find_images(path)
            elif path.is_file():
                paths.append(path)
            else:
                raise GeneraError(f"{self.method} expects image files, but {word!r} does not exist.")
        return paths

    def show(self, command: ItemOptions, items: "Sequence[Tensor]", columns: int | None = None) -> None:
        names = [f"{number:05d}.png" for number in range(len(items))]
        self._write(command, items, names, command.columns or columns)

    def show_pairs(
        self,
        command: ItemOptions,
        names: Sequence[str],
        inputs: "Sequence[Tensor]",
        outputs: "Sequence[Tensor]",
    ) -> None:
        """In a grid each output is to the right of its input; in a folder it has the input's name."""
        assert command.out is not None
        if _is_grid(command.out):
            pairs = [image for pair in zip(inputs, outputs, strict=True) for image in pair]
            self._write(command, [image.cpu() for image in pairs], [], command.columns or 2 * max(1, len(inputs) // 8))
            return
        targets = [Path(name).with_suffix(".png").name for name in names]
        if twice := {target for target in targets if targets.count(target) > 1}:
            raise GeneraError(f"two images would both be written to {min(twice)}; rename one, or give --out grid.png.")
        self._write(command, outputs, targets, None)

    def _write(
        self, command: ItemOptions, images: "Sequence[Tensor]", names: Sequence[str], columns: int | None
    ) -> None:
        assert command.out is not None
        if _is_grid(command.out):
            from genera.uses.grids import write_grid

            write_grid(command.out, images, columns)
        else:
            from genera.data.images.files import write_png

            for name, image in zip(names, images, strict=True):
                write_png(command.out / name, image.cpu())
        told = {"images": str(command.out), "count": len(images)}
        print_json(told) if command.json else print(command.out)


def read_paths(scan: str | None, path: Sequence[str], heading: float, file: Path | None = None) -> list[dict[str, Any]]:
    """Navigation paths in the format of `Run.describe`: one from the command line, or all in a JSON file."""
    if bool(path) == bool(file):
        raise GeneraError("give either the viewpoints of one path with --scan, or several paths with --input FILE.")
    if file is None:
        if scan is None:
            raise GeneraError("give the scan of the viewpoints: --scan SCAN.")
        return [{"scan": scan, "path": list(path), "heading": heading}]

    from genera.navigation.episodes import load_json

    paths = load_json(file)
    if not isinstance(paths, list) or not all(isinstance(one, dict) for one in paths):
        raise GeneraError(f"{file} is not a list of {{scan, path, heading}}.")
    return paths


def lines(words: Sequence[str], file: Path | None, what: str = "sentences") -> list[str]:
    """The words of the command line, or the lines of a file (`-` reads standard input), plain or .gz.

    Item i is line i. Raises GeneraError for a blank line: skipping it would shift all later outputs against the inputs.
    """
    if bool(words) == bool(file):
        raise GeneraError(f"give {what} either on the command line or with --input FILE (one per line).")
    if not file:
        return list(words)
    texts, size = [], 0
    for where, text in _lines(file):
        size += len(text)
        if size > MOST_INPUT:
            raise GeneraError(f"{where}: the input has more than {MOST_INPUT >> 20} MB; split it into several files.")
        if not text.strip():
            raise GeneraError(f"{where} is blank; output i belongs to line i, so fill in the line or remove it.")
        texts.append(text.strip())
    if not texts:
        raise GeneraError(
            f"{'standard input' if str(file) == '-' else file} contains no {what}; expected one per line."
        )
    return texts


def _lines(file: Path) -> Iterator[Line]:
    if str(file) == "-":
        yield from lines_of(sys.stdin.buffer, "standard input")
    elif str(file) in STREAMS or file.parent in map(Path, STREAMS):
        with reading(file), open(file, "rb") as stream:
            yield from lines_of(stream, str(file))
    elif file.is_file() and not file.stat().st_size:
        return
    else:
        yield from read_lines(file)


def print_texts(texts: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json(list(texts))
    else:
        print("\n".join(map(str, texts)))


def _is_grid(out: Path) -> bool:
    return out.suffix.lower() == ".png"


def _listed(options: Sequence[str]) -> str:
    """`--temperature is`, `--top-k, --top-p are`"""
    return f"{', '.join(options)} {'is' if len(options) == 1 else 'are'}"
