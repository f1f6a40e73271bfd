import math

import pytest
import torch
import transformers
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from genera.blocks.decoder import Decoder
from genera.blocks.pretrained import export_weights
from genera.blocks.size import GPT2_SMALL, TransformerSize
from genera.errors import GeneraError

BATCH, LENGTH = 3, 6
INJECTIONS = [(False, False), (True, False), (False, True), (True, True)]


def inputs(gpt2: Decoder, memory: bool = True, embedding: bool = True) -> tuple[Tensor, Tensor | None, Tensor | None]:
    dice = torch.Generator().manual_seed(2)
    size = gpt2.size
    ids = torch.randint(size.vocabulary, (BATCH, LENGTH), generator=dice)
    shape = (BATCH, size.layers, size.heads, 1, size.hidden // size.heads)
    z = torch.randn(shape, generator=dice, requires_grad=True) if memory else None
    e = torch.randn(BATCH, size.hidden, generator=dice, requires_grad=True) if embedding else None
    return ids, z, e


def by_hand(gpt2: Decoder, ids: Tensor, memory: Tensor | None, embedding: Tensor | None) -> Tensor:
    """The decoder again, one row, one head and one query at a time, from the paper's words."""
    width = gpt2.size.hidden // gpt2.size.heads
    rows = []
    for row in range(len(ids)):
        first = 0 if memory is None else 1
        x = gpt2.tokens.weight[ids[row]] + gpt2.positions.weight[first : first + ids.shape[1]]
        if embedding is not None:
            x = x + embedding[row]
        for number, block in enumerate(gpt2.blocks):
            q, k, v = block.attention.qkv(block.attention_norm(x)).chunk(3, dim=-1)
            out = []
            for t in range(ids.shape[1]):
                heads = []
                for head in range(gpt2.size.heads):
                    part = slice(head * width, (head + 1) * width)
                    keys, values = k[: t + 1, part], v[: t + 1, part]
                    if memory is not None:
                        slot = memory[row, number, head]
                        keys, values = torch.cat((slot, keys)), torch.cat((slot, values))
                    weights = (keys @ q[t, part] / math.sqrt(width)).softmax(0)
                    heads.append(weights @ values)
                out.append(torch.cat(heads))
            x = x + block.attention.out(torch.stack(out))
            inner = block.feed_forward.up(block.feed_forward_norm(x))
            inner = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
            x = x + block.feed_forward.down(inner)
        rows.append(F.layer_norm(x, x.shape[-1:], gpt2.norm.weight, gpt2.norm.bias, 1e-5))
    return torch.stack(rows)


def by_transformers(
    oracle: transformers.GPT2LMHeadModel, ids: Tensor, memory: Tensor | None, embedding: Tensor | None
) -> Tensor:
    cache = None
    if memory is not None:
        cache = transformers.DynamicCache()
        for layer, slot in enumerate(memory.unbind(1)):
            cache.update(slot, slot, layer)
    vectors = oracle.transformer.wte(ids)
    if embedding is not None:
        vectors = vectors + embedding[:, None]
    return oracle(inputs_embeds=vectors, past_key_values=cache).logits


@pytest.mark.parametrize(("memory", "embedding"), INJECTIONS)
def test_logits_and_gradients_equal_transformers(gpt2, gpt2_folder, memory, embedding):
    oracle = transformers.GPT2LMHeadModel.from_pretrained(gpt2_folder)
    ids, *latents = inputs(gpt2, memory, embedding)
    theirs_latents = [x if x is None else x.detach().clone().requires_grad_() for x in latents]
    logits = gpt2.logits(gpt2(ids, memory=latents[0], embedding=latents[1]))
    theirs = by_transformers(oracle, ids, *theirs_latents)
    assert_close(logits, theirs, atol=2e-5, rtol=1e-5)

    weight = torch.randn_like(logits)
    (logits * weight).sum().backward()
    (theirs * weight).sum().backward()
    for ours, wanted in zip(latents, theirs_latents, strict=True):
        if ours is not None:
            assert ours.grad.abs().min() > 0
            assert_close(ours.grad, wanted.grad, atol=1e-4, rtol=1e-4)
    for parameter in gpt2.parameters():
        parameter.data = parameter.grad
    found = export_weights(gpt2)
    wanted = {name: parameter.grad for name, parameter in oracle.transformer.named_parameters()}
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert_close(found[name], wanted[name], atol=1e-4, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(("memory", "embedding"), INJECTIONS)
def test_injections_equal_attention_by_hand(gpt2, memory, embedding):
    ids, z, e = inputs(gpt2, memory, embedding)
    assert_close(gpt2(ids, memory=z, embedding=e), by_hand(gpt2, ids, z, e), atol=1e-5, rtol=1e-5)


def test_position_zero_is_left_to_the_memory(gpt2):
    ids, z, _ = inputs(gpt2)
    gpt2(ids, memory=z).square().sum().backward()
    assert gpt2.positions.weight.grad[0].abs().max() == 0
    assert gpt2.positions.weight.grad[1 : LENGTH + 1].abs().min(dim=0).values.max() > 0


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("prompt", [1, 4])
def test_decoding_through_the_cache_equals_recomputing(gpt2, memory, prompt):
    ids, z, e = inputs(gpt2, memory)
    with torch.no_grad():
        whole = gpt2(ids, memory=z, embedding=e)
        cache = gpt2.cache(BATCH, LENGTH, z)
        states = [gpt2(ids[:, :prompt], embedding=e, cache=cache)]
        states += [gpt2(ids[:, t : t + 1], embedding=e, cache=cache) for t in range(prompt, LENGTH)]
    assert_close(torch.cat(states, dim=1), whole, atol=1e-5, rtol=1e-5)


def test_a_cache_goes_on_by_several_tokens(gpt2):
    ids, z, e = inputs(gpt2)
    with torch.no_grad():
        cache = gpt2.cache(BATCH, LENGTH, z)
        states = [gpt2(part, embedding=e, cache=cache) for part in ids.split(2, dim=1)]
        assert_close(torch.cat(states, dim=1), gpt2(ids, memory=z, embedding=e), atol=1e-5, rtol=1e-5)


def test_a_cache_can_go_on_with_some_rows(gpt2):
    ids, z, _ = inputs(gpt2, embedding=False)
    rows = torch.tensor([2, 0])
    with torch.no_grad():
        cache = gpt2.cache(BATCH, LENGTH, z)
        gpt2(ids[:, :-1], cache=cache)
        for layer in cache:
            layer.keep(rows)
        assert_close(gpt2(ids[rows, -1:], cache=cache), gpt2(ids, memory=z)[rows, -1:], atol=1e-5, rtol=1e-5)


def test_padding_on_the_right_changes_nothing(gpt2):
    ids, z, e = inputs(gpt2)
    short = gpt2(ids[:, :4], memory=z, embedding=e)
    assert_close(gpt2(ids, memory=z, embedding=e)[:, :4], short, atol=1e-5, rtol=1e-5)


def test_checkpointing_with_memory_and_dropout_changes_no_gradient():
    gpt2 = Decoder(
        TransformerSize(layers=2, hidden=8, heads=2, feed_forward=16, vocabulary=9, positions=8, dropout=0.3)
    )
    ids, z, e = inputs(gpt2)
    found = []
    for gpt2.blocks.checkpointing in (False, True):
        torch.manual_seed(5)
        loss = gpt2(ids, memory=z, embedding=e).square().sum()
        found.append(torch.autograd.grad(loss, [*gpt2.parameters(), z, e]))
    for plain, recomputed in zip(*found, strict=True):
        assert_close(plain, recomputed)


def test_dropout_acts_in_training_alone():
    gpt2 = Decoder(
        TransformerSize(layers=1, hidden=8, heads=2, feed_forward=16, vocabulary=9, positions=8, dropout=0.5)
    )
    ids, _, _ = inputs(gpt2)
    assert not torch.equal(gpt2(ids), gpt2(ids))
    gpt2.eval()
    assert torch.equal(gpt2(ids), gpt2(ids))


def test_bfloat16_training_and_decoding_stay_close_to_float32(gpt2):
    ids, z, e = inputs(gpt2)
    exact = gpt2(ids, memory=z, embedding=e)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = gpt2(ids, memory=z, embedding=e)
        cache = gpt2.cache(BATCH, LENGTH, z.detach())
        with torch.no_grad():
            cached = gpt2(ids, embedding=e, cache=cache)
    assert (states - exact).abs().mean() < 0.02 * exact.abs().mean()
    assert (cached - exact).abs().mean() < 0.02 * exact.abs().mean()


def test_small_has_the_published_number_of_parameters():
    with torch.device("meta"):
        count = sum(p.numel() for p in Decoder(GPT2_SMALL).parameters())
    assert round(count / 1e6, 2) == 124.44


def test_initial_weights_have_the_published_spread():
    torch.manual_seed(0)
    size = TransformerSize(layers=8, hidden=64, heads=4, feed_forward=256, vocabulary=500, positions=64)
    gpt2 = Decoder(size)
    for name, parameter in gpt2.named_parameters():
        if "norm" in name or name.endswith("bias"):
            assert (parameter == (1 if name.endswith("norm.weight") else 0)).all(), name
        else:
            wanted = 0.02 / 4 if "attention.out" in name or "down" in name else 0.02  # √(2·8) = 4
            assert parameter.std().item() == pytest.approx(wanted, rel=0.06), name


def test_the_memory_takes_one_position(gpt2):
    ids = torch.zeros(1, 16, dtype=torch.int64)
    memory = torch.zeros(1, 3, 4, 1, 6)
    gpt2(ids)
    gpt2(ids[:, :15], memory=memory)
    with pytest.raises(GeneraError, match=r"17 tokens \(memory included\) exceeds the 16 positions"):
        gpt2(ids, memory=memory)
    with pytest.raises(GeneraError, match=r"Decoder\.cache"):
        gpt2(ids[:, :1], memory=memory, cache=gpt2.cache(1, 4))
