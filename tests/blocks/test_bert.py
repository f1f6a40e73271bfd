import pytest
import torch
import transformers
from torch.testing import assert_close

from genera.blocks import masks
from genera.blocks.bert import Bert
from genera.blocks.pretrained import export_weights
from genera.blocks.size import BERT_BASE_CASED
from genera.errors import GeneraError

LENGTHS = torch.tensor([7, 3, 1])


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(1, 50, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(7) < LENGTHS[:, None]
    return ids * mask, mask


def gradients(model: Bert) -> dict[str, torch.Tensor]:
    """Under the names of transformers."""
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.data = parameter.grad
    return export_weights(model)


@pytest.mark.parametrize("segmented", [False, True])
def test_states_pooler_and_gradients_equal_transformers(bert, bert_folder, segmented):
    oracle = transformers.BertModel.from_pretrained(bert_folder)
    ids, mask = batch()
    segments = (torch.arange(7) > 2).long().expand(3, 7) if segmented else None
    states = bert(ids, mask, segments)
    theirs = oracle(ids, attention_mask=mask.long(), token_type_ids=segments)
    assert_close(states[mask], theirs.last_hidden_state[mask], atol=1e-5, rtol=1e-5)
    assert_close(bert.pooled(states), theirs.pooler_output, atol=1e-5, rtol=1e-5)

    weight = torch.randn(7 + 3 + 1, 24)
    ((states[mask] * weight).sum() + bert.pooled(states).square().sum()).backward()
    ((theirs.last_hidden_state[mask] * weight).sum() + theirs.pooler_output.square().sum()).backward()
    ours = gradients(bert)
    wanted = {name: parameter.grad for name, parameter in oracle.named_parameters()}
    assert ours.keys() == wanted.keys()
    for name in wanted:
        assert_close(ours[name], wanted[name], atol=2e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_states_do_not_depend_on_padding(bert):
    ids, mask = batch()
    states = bert(ids, mask)
    for row, length in enumerate(LENGTHS.tolist()):
        assert_close(states[row, :length], bert(ids[row : row + 1, :length])[0], atol=1e-5, rtol=1e-5)


def test_prefix_mask_makes_what_follows_causal(bert):
    ids, _ = batch()
    mask = masks.prefix(torch.tensor([3, 3, 3]), 7)
    changed = ids.clone()
    changed[:, 5] += 1
    before, after = bert(ids, mask), bert(changed, mask)
    assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:], atol=1e-3)
    changed = ids.clone()
    changed[:, 2] += 1
    assert not torch.allclose(before[:, 0], bert(changed, mask)[:, 0], atol=1e-3)


def test_checkpointing_changes_no_gradient(bert):
    ids, mask = batch()
    found = []
    for bert.blocks.checkpointing in (False, True):
        bert.zero_grad()
        bert(ids, mask)[mask].square().sum().backward()
        found.append([p.grad.clone() for name, p in bert.named_parameters() if "pooler" not in name])
    for plain, recomputed in zip(*found, strict=True):
        assert_close(plain, recomputed)


def test_base_cased_has_the_published_number_of_parameters():
    with torch.device("meta"):
        count = sum(p.numel() for p in Bert(BERT_BASE_CASED, pooler=True).parameters())
    assert round(count / 1e6, 2) == 108.31


def test_no_pooler_unless_asked_for(bert):
    assert not any("pooler" in name for name, _ in Bert(bert.size).named_parameters())


def test_too_long_a_sequence_is_refused(bert):
    with pytest.raises(GeneraError, match="17 tokens exceeds the 16 positions"):
        bert(torch.ones(1, 17, dtype=torch.int64))
