import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """real_data("ptb") → its folder; skips where the development data is absent."""

    def folder(name):
        root = os.environ.get("GENERA_DATA")
        if not root or not (Path(root) / name).is_dir():
            pytest.skip(f"real data {name!r} not found; set GENERA_DATA to the folder that holds it")
        return Path(root) / name

    return folder


@pytest.fixture(scope="session")
def opened(tmp_path_factory):
    """opened(spec) → the navigation source, its graphs read; the cache is the session's."""
    from genera.data.navigation.sources import open_navigation

    cache = tmp_path_factory.mktemp("cache")

    def source(spec):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GENERA_CACHE", str(cache))
            found = open_navigation(spec)
            assert len(found.graphs)
            return found

    return source


@pytest.fixture(scope="session")
def r2r(opened, real_data):
    """The real R2R data: train and val_seen on all 90 graphs."""
    return opened(f"r2r:{real_data('r2r')}")


@pytest.fixture(scope="session")
def houses(opened):
    return opened("world:houses")
