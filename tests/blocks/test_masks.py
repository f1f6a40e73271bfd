import torch

from genera.blocks import masks


def test_causal_queries_are_the_last_of_the_keys():
    mask = masks.causal(3, 5)
    for query in range(3):
        assert mask[query].tolist() == [key <= query + 2 for key in range(5)]


def test_prefix_is_bidirectional_inside_and_causal_after():
    lengths, size = torch.tensor([0, 2, 4]), 4
    mask = masks.prefix(lengths, size)
    for row, length in enumerate(lengths.tolist()):
        for query in range(size):
            assert mask[row, query].tolist() == [key < length or key <= query for key in range(size)]
    assert torch.equal(mask[0], masks.causal(size, size))
    assert mask[2].all()
