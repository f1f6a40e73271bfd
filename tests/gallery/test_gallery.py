"""No broken model is called good in the use in which it is broken, and no sound one poor."""

import pytest

from gallery import ALLOWED, Specimen, specimens
from genera.evaluation.verdict import grades
from genera.measures import in_domain


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_domain, "STEPS", 150)
        yield


@pytest.mark.parametrize("specimen", specimens(), ids=str)
def test_the_verdict_is_right(specimen: Specimen, tmp_path):
    stored = specimen.evaluate(tmp_path)
    given = grades(stored.diagnosis)
    told = [finding["finding"] for finding in stored.diagnosis]
    for use, truth in specimen.uses.items():
        assert given[use] in ALLOWED[truth], told
        if truth == "broken" and specimen.poor:
            assert given[use] == "poor", told
        if truth == "sound":
            assert given[use] == "good", told
