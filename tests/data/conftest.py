import pytest


@pytest.fixture(autouse=True)
def of_its_own(cache):
    """Every test here has a cache of its own."""
