import pytest

from genera.data.vocabularies.tokenisers import Tokeniser
from genera.navigation.tokens import token_rows

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def tokeniser():
    return Tokeniser.train("wordpiece", lambda: ["one two three four five"] * 3, 60)


def words(tokeniser, row):
    return tokeniser.decode_batch([[i for i in row if i not in (tokeniser.bos, tokeniser.eos)]])[0]


def test_rows_are_padded_at_the_end(tokeniser):
    one, two = token_rows(tokeniser, ["one two", "one two three"], 80).tolist()
    assert len(one) == len(two)
    assert one[0] == two[0] == tokeniser.bos
    assert one.index(tokeniser.eos) < len(one) - 1 == two.index(tokeniser.eos)
    assert set(one[one.index(tokeniser.eos) + 1 :]) == {tokeniser.pad}


@pytest.mark.parametrize(("keep", "kept"), [("first", "one two three"), ("last", "three four five")])
def test_what_is_too_long_loses_its_end_or_its_beginning(tokeniser, keep, kept):
    row = token_rows(tokeniser, ["one two three four five"], 5, keep)[0].tolist()
    assert (row[0], row[-1], len(row)) == (tokeniser.bos, tokeniser.eos, 5)
    assert words(tokeniser, row) == kept


def test_one_token_is_the_first_of_all(tokeniser):
    for keep in ("first", "last"):
        assert token_rows(tokeniser, ["one two"], 1, keep).tolist() == [[tokeniser.bos]]
