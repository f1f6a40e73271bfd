"""`genera encode RUN "sentence" ... --out latents.npz`."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.items import items_of
from genera.cli.parsing import parse, print_json
from genera.cli.uses import UseOptions
from genera.errors import GeneraError
from genera.files import atomic


@dataclass(frozen=True, kw_only=True)
class Encode(UseOptions):
    """Write the posterior means and log variances of your own items."""

    run: Positional[Path]
    """The run folder, or a shipped model's name."""
    items: Positional[tuple[str, ...]] = ()
    """The items: sentences, image files, or folders of images."""
    input: Path | None = None
    """A file with one item per line; - reads standard input."""
    out: Path | None = None
    """The .npz to write, with arrays `mean`, `log_variance` and `items`; or use --json."""


def main(arguments: list[str]) -> None:
    command = parse(Encode, arguments, "encode")
    if command.out is None and not command.json:
        raise GeneraError("give an output for the latents: --out FILE.npz, or --json for standard output.")
    if command.out is not None and command.out.suffix != ".npz":
        raise GeneraError(f"--out {command.out} must end in .npz.")
    run = command.load(command.run)
    names, items = items_of(run).read(command.items, command.input)
    posterior = run.encode(items)
    arrays = {"mean": posterior.mean.cpu().numpy()}
    if posterior.log_variance is not None:
        arrays["log_variance"] = posterior.log_variance.cpu().numpy()
    if command.out is not None:
        import numpy as np

        with atomic(command.out) as temporary, open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, items=np.array(names), **arrays)
    if command.json:
        print_json([{"item": item, **{k: v[i].tolist() for k, v in arrays.items()}} for i, item in enumerate(names)])
