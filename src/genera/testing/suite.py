"""The promises as a pytest class: inherit from it, give it a case, and every test of a method is there."""

import shutil
from pathlib import Path

import pytest

from genera.testing import promises
from genera.testing.processes import FIRST
from genera.testing.runs import Case


class MethodTests:
    """Tests of one method. A package's tests inherit from it:

        class TestMyVae(MethodTests):
            tiny = Case(method="my-vae:nano", overrides={"data.limit": 200})

    Override the fixture `case` to test several.
    """

    tiny: Case

    @pytest.fixture(scope="module")
    @classmethod
    def case(cls) -> Case:
        return cls.tiny

    @pytest.fixture(scope="module")
    @classmethod
    def whole(cls, case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A finished run that was never killed. Read it; copy it before changing it."""
        return case.finish(tmp_path_factory.mktemp("whole") / "run", hash_seed=FIRST)

    def test_killed_at_any_instant_it_resumes_bit_identically(self, case: Case, whole: Path, tmp_path: Path) -> None:
        promises.resumes_bit_identically(case, whole, tmp_path)

    @pytest.mark.parametrize("kill", [None, "step:13"])
    def test_two_ranks_equal_one_rank_of_twice_the_batch(
        self, case: Case, whole: Path, tmp_path: Path, kill: str | None
    ) -> None:
        promises.two_ranks_equal_one(case, whole, tmp_path, kill=kill)

    def test_accumulated_parts_equal_the_whole_batch(self, case: Case, whole: Path, tmp_path: Path) -> None:
        promises.accumulated_parts_equal_the_whole_batch(case, whole, tmp_path)

    def test_every_trainable_parameter_learns(self, case: Case, tmp_path: Path) -> None:
        promises.every_parameter_learns(case, tmp_path)

    def test_loads(self, whole: Path) -> None:
        promises.loads(whole)

    def test_dry_run(self, case: Case) -> None:
        promises.dry_runs(case)

    def test_evaluates_and_reports(self, case: Case, whole: Path, tmp_path: Path) -> None:
        if case.evaluation is None:
            pytest.skip("no evaluator measures its items")
        promises.evaluates(case, Path(shutil.copytree(whole, tmp_path / "run")))
