import pytest
import torch

from genera.errors import GeneraError
from genera.measures import neighbours
from genera.measures.neighbours import distance_blocks, nearest


def points(count, size=5, seed=0, at=0.0):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)) + at


def naive(queries, keys, k, same):
    distances = (queries.double()[:, None] - keys.double()[None]).norm(dim=2)
    if same:
        distances.fill_diagonal_(torch.inf)
    return distances.sort(1).values[:, :k]


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize(("entries", "keys_at_once"), [(1 << 24, 1 << 15), (100, 7), (1, 3)])
def test_equals_the_naive_search_whatever_the_blocks(monkeypatch, entries, keys_at_once, same):
    monkeypatch.setattr(neighbours, "ENTRIES_AT_ONCE", entries)
    monkeypatch.setattr(neighbours, "KEYS_AT_ONCE", keys_at_once)
    queries, keys = points(23), points(40, seed=1)
    if same:
        queries = keys
    distances, places = nearest(queries, keys, 4, same=same)
    torch.testing.assert_close(distances.double(), naive(queries, keys, 4, same), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close((queries[:, None] - keys[places]).norm(dim=2), distances)
    blocks = torch.cat([found for _, found in distance_blocks(queries, keys)])
    torch.testing.assert_close(blocks, torch.cdist(queries, keys), rtol=1e-4, atol=5e-3)


def test_copies_lie_at_distance_zero_even_far_from_the_origin():
    keys = points(50, at=1000.0)
    distances, places = nearest(keys[7:12], keys)
    assert (distances == 0).all()
    assert places[:, 0].tolist() == list(range(7, 12))
    twice = torch.cat([keys, keys])
    assert (nearest(twice, twice, same=True)[0] == 0).all()


def test_bad_input_is_named():
    keys = points(4)
    with pytest.raises(GeneraError, match="4 nearest neighbours of 4 points do not exist"):
        nearest(keys, keys, 4, same=True)
    with pytest.raises(GeneraError, match=r"two tables of points .* got \(4, 5\) and \(3, 2\)"):
        nearest(keys, points(3, 2))
    with pytest.raises(GeneraError, match="some of the keys are not finite"):
        nearest(keys, keys * torch.nan)
