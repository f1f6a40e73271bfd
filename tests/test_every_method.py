"""The promises that every registered method keeps: being registered means being tested."""

from pathlib import Path

import pytest

from genera.engine import registry
from genera.testing import Case, MethodTests, promises, started
from training import TINY, case_of

QUANTISED = sorted(name for name in TINY if name.endswith(":fq"))
CASES = sorted(TINY.keys() - set(QUANTISED))


def test_every_method_has_a_tiny_size():
    tested = {case.partition(":")[0] for case in TINY}
    assert tested == set(registry.entries()), "add the new method to TINY in training.py"


class TestEveryMethod(MethodTests):
    @pytest.fixture(scope="module", params=CASES)
    @classmethod
    def case(cls, request: pytest.FixtureRequest) -> Case:
        return case_of(request.param)


class TestQuantised(MethodTests):
    """A quantiser adds state to a method that is tested without it: saved, in its place after a kill, and trained.
    That ranks and parts share its statistics is tested where the quantiser is."""

    @pytest.fixture(scope="module", params=QUANTISED)
    @classmethod
    def case(cls, request: pytest.FixtureRequest) -> Case:
        return case_of(request.param)

    test_two_ranks_equal_one_rank_of_twice_the_batch = None
    test_dry_run = None
    test_evaluates_and_reports = None


def test_a_true_process_is_killed_and_resumes_as_a_forked_one(tmp_path: Path) -> None:
    case = case_of("small-two-stage")
    whole = case.finish(tmp_path / "whole")
    promises.resumes_bit_identically(case, whole, tmp_path, launcher=started)


def test_ranks_of_torchrun_are_killed_and_resume_as_forked_ones(tmp_path: Path) -> None:
    case = case_of("small-two-stage")
    whole = case.finish(tmp_path / "whole")
    promises.two_ranks_equal_one(case, whole, tmp_path, kill="step:13", launcher=started)
