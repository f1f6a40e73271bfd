"""Convert imported weights to a run folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from genera.blocks.pretrained import find
from genera.engine import registry
from genera.engine.capabilities import Shares
from genera.engine.folder import RunFolder
from genera.engine.import_weights import adopt, free
from genera.engine.origin import Origin
from genera.errors import GeneraError
from genera.files import read_json
from genera.uses.run import lacking

ABOUT = "genera.json"
"""File with the run's settings in an exported folder."""
_HUB_FILES = ("*.json", "*.txt", "*.safetensors")


def import_run(spec: str, out: str | Path, origin: Origin, *, seed: int = 42) -> RunFolder:
    """Create the run folder `out`, done at step 0, of METHOD[:PRESET] with weights from `origin`.

    The preset provides the settings that the weights do not define; an export defines all. seed: for weights that
    `origin` lacks. Raises GeneraError that lists every missing, unknown or misshapen tensor, and if `out` exists.
    """
    name, _, preset = spec.partition(":")
    entry = registry.entry(name)
    implementation = entry.load()
    if not hasattr(implementation, "from_origin"):
        raise lacking(Shares, name, "be imported")
    folder = free(out)
    export = _export_at(origin)
    if export is not None:
        origin.only("source", because=f"{origin.source} was exported whole")
        config = registry.run_config(read_json(export / ABOUT), str(export / ABOUT))
        if config.method != name or preset not in ("", config.preset):
            raise GeneraError(f"{origin.source} is an export of {config.method}:{config.preset}, not of {spec}.")
        if getattr(config.data, "trim_vocabulary", False):  # an export has a single vocabulary
            config = replace(config, data=replace(config.data, trim_vocabulary=False))
        method = implementation.from_export(config, export)
    else:
        _, config = registry.preset(f"{name}:{preset or entry.imported_as}")
        config = replace(config, train=replace(config.train, seed=seed))
        with _seeded(seed):
            config, method = implementation.from_origin(config, origin)
    return adopt(config, method, folder, imported=str(origin))


def _export_at(origin: Origin) -> Path | None:
    """The folder of the source, if `genera export` wrote it."""
    if origin.source is None:
        return None
    is_export = (find(origin.source, (ABOUT,)) / ABOUT).exists()
    return find(origin.source, _HUB_FILES) if is_export else None


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
