"""`genera translate RUN FOLDER --out FOLDER --direction a2b`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions
from genera.console import say


@dataclass(frozen=True, kw_only=True)
class Translate(UseOptions):
    """Translate a folder of images to the other domain."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    images: Positional[Path]
    """A folder of images of any size."""
    out: Path
    """Output folder; each translation is a PNG with the name of its image."""
    direction: str = "a2b"
    """a2b or b2a."""
    attention: bool = False
    """Also write the attention map of each translation, as NAME.attention.png."""


def main(arguments: list[str]) -> None:
    command = parse(Translate, arguments, "translate")
    run = command.load(command.run)

    from genera.uses.translate import translate_folder

    written = translate_folder(run, command.images, command.out, command.direction, attention=command.attention)
    if command.json:
        print_json([str(file) for file in written])
    say(f"{len(written)} images in {command.out}")
