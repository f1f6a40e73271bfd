import pytest

from report.fake_run import make_run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "demo")
