import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.testing import assert_close

from genera.blocks.recurrent import BiLstm, SoftDotAttention, reversing

LENGTHS = [5, 1, 3]
MASK = torch.arange(5) < torch.tensor(LENGTHS)[:, None]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_reversing_turns_what_is_kept_around():
    assert reversing(MASK).tolist() == [[4, 3, 2, 1, 0], [0, 1, 2, 3, 4], [2, 1, 0, 3, 4]]


def test_both_directions_equal_torch_on_packed_sequences():
    lstm, reference = BiLstm(4, 6), nn.LSTM(4, 3, batch_first=True, bidirectional=True)
    weights = {**lstm.forwards.state_dict()}
    weights |= {f"{name}_reverse": value for name, value in lstm.backwards.state_dict().items()}
    reference.load_state_dict(weights)
    x = torch.randn(3, 5, 4)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
    wanted, _ = pad_packed_sequence(reference(packed)[0], batch_first=True)
    assert_close(lstm(x, MASK), wanted)


def test_padding_changes_nothing():
    lstm, x = BiLstm(4, 6), torch.randn(3, 5, 4)
    garbage = torch.where(MASK[..., None], x, torch.full_like(x, 1e3))
    assert_close(lstm(garbage, MASK), lstm(x, MASK))
    assert_close(lstm(x[2:, :3], MASK[2:, :3]), lstm(x, MASK)[2:, :3])


def test_attention_is_a_softmax_of_projected_dots():
    attention = SoftDotAttention(6, 4)
    h, context = torch.randn(3, 2, 6), torch.randn(3, 5, 4)
    output, weights = attention(h, context, MASK)
    for row, length in enumerate(LENGTHS):
        scores = (h[row] @ attention.to_context.weight.T) @ context[row, :length].T
        assert_close(weights[row, :, :length], scores.softmax(-1))
        assert_close(weights[row, :, length:], torch.zeros(2, 5 - length))
        seen = torch.cat([scores.softmax(-1) @ context[row, :length], h[row]], -1)
        assert_close(output[row], torch.tanh(seen @ attention.output.weight.T))
    assert_close(attention(h, context)[1].sum(-1), torch.ones(3, 2))
