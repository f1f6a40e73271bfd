"""The GPT-2 language model against transformers' on the same weights, and what it cannot do."""

import pytest
import torch
import transformers
from torch.testing import assert_close

from genera.blocks.pretrained import export_weights
from genera.engine.registry import preset
from genera.errors import GeneraError
from genera.methods.lm import rows
from genera.run import Run


@pytest.fixture
def oracle(gpt2_lm):
    size = gpt2_lm.decoder.size
    config = transformers.GPT2Config(
        vocab_size=size.vocabulary, n_embd=size.hidden, n_layer=size.layers, n_head=size.heads,
        n_inner=size.feed_forward, n_positions=size.positions, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    oracle = transformers.GPT2LMHeadModel(config).eval()
    oracle.transformer.load_state_dict(export_weights(gpt2_lm.decoder))
    oracle.tie_weights()
    return oracle


def test_the_likelihood_is_the_one_of_transformers(gpt2_lm, oracle, text, step_at):
    """Their loss is a mean over the predicted tokens of one sentence at a time."""
    expected, tokens = [], []
    for ids in gpt2_lm.tokeniser.encode_batch(text.sentences):
        row = torch.tensor([ids])
        with torch.no_grad():
            expected.append(-oracle(row, labels=row).loss.item() * (len(ids) - 1))
        tokens.append(len(ids) - 1)
    score = gpt2_lm.score(text.sentences, 100)
    assert_close(score.log_weights, torch.tensor([expected]).double(), atol=1e-3, rtol=1e-5)
    assert torch.equal(score.log_weights, score.log_likelihood)
    assert score.kl is None
    assert score.lengths["tokens"].tolist() == tokens
    loss = gpt2_lm.objective(text.batch(), step_at(0.5))["loss"]
    assert_close(loss, -torch.tensor(expected).mean(), atol=1e-3, rtol=1e-5)


def test_the_likelihood_does_not_depend_on_the_batch(gpt2_lm, text, monkeypatch):
    together = gpt2_lm.score(text.sentences).log_weights[0]
    alone = torch.cat([gpt2_lm.score([sentence]).log_weights[0] for sentence in text.sentences])
    assert_close(together, alone, atol=1e-4, rtol=1e-6)
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", 3)
    assert_close(gpt2_lm.score(text.sentences).log_weights[0], together, atol=1e-4, rtol=1e-6)


def test_the_first_token_is_sampled_from_the_model(gpt2_lm, oracle):
    """Begin and padding are never sampled. Shares of 4,000 draws, five standard errors."""
    tokeniser, draws = gpt2_lm.tokeniser, 4000
    with torch.no_grad():
        logits = oracle(torch.tensor([[tokeniser.bos]])).logits[0, -1]
    logits[[tokeniser.bos, tokeniser.pad]] = -torch.inf
    p, texts = logits.softmax(0), [tokeniser.decode_batch([[i]])[0] for i in range(tokeniser.size)]
    drawn = gpt2_lm.sample(draws, generator=torch.Generator().manual_seed(0), max_tokens=1)
    for token in p.topk(5).indices.tolist():
        same = [i for i, text in enumerate(texts) if text == texts[token]]
        share, expected = drawn.count(texts[token]) / draws, p[same].sum().item()
        assert abs(share - expected) < 5 * (expected * (1 - expected) / draws) ** 0.5, texts[token]


def test_samples_follow_their_generator_and_options(gpt2_lm):
    def draw(seed, **options):
        return gpt2_lm.sample(6, generator=torch.Generator().manual_seed(seed), **options)

    assert draw(0) == draw(0) != draw(1)
    greedy = draw(0, temperature=0)
    assert greedy == draw(1, temperature=0)
    assert len(set(greedy)) == 1
    assert draw(0, top_k=1) == greedy


def test_beam_search_gives_the_likeliest_sentences(gpt2_lm):
    many = gpt2_lm.sample(8, beams=8, max_tokens=5, length_penalty=0)
    assert gpt2_lm.sample(3, beams=8, max_tokens=5, length_penalty=0) == many[:3]
    assert many[0] == gpt2_lm.sample(1, beams=8, max_tokens=5, length_penalty=0, generator=None)[0]
    with pytest.raises(GeneraError, match="a search with 4 beams finds 4 sentences, not 5"):
        gpt2_lm.sample(5, beams=4)


def test_without_a_latent_there_is_no_way_between_sentences(gpt2_lm, tmp_path):
    run = Run(tmp_path, preset("gpt2-lm")[1], gpt2_lm, 0)
    for use in (lambda: run.interpolate("a dog .", "a cat ."), lambda: run.analogy("a", "b", "c")):
        with pytest.raises(GeneraError, match="gpt2-lm cannot encode; methods that can: optimus"):
            use()
    with pytest.raises(GeneraError, match=r"gpt2-lm cannot decode latents; methods that can: .*optimus"):
        run.decode(torch.zeros(1, 32))


def test_sentences_that_cannot_be_read(gpt2_lm):
    with pytest.raises(GeneraError, match="sentence 1 is empty"):
        gpt2_lm.score(["", "a dog ."])
    with pytest.raises(GeneraError, match="this model reads at most 48"):
        gpt2_lm.score([" ".join(["."] * 100)])
    full = " ".join(["."] * 46)
    assert gpt2_lm.score([full]).log_weights.isfinite().all()


def test_features_are_the_mean_state_of_what_was_read(gpt2_lm, oracle, text):
    features = gpt2_lm.features(text.sentences)
    for row, ids in zip(features, gpt2_lm.tokeniser.encode_batch(text.sentences), strict=True):
        states = oracle.transformer(torch.tensor([ids[:-1]])).last_hidden_state[0]  # <BOS> x, without <EOS>
        assert_close(row, states.mean(0), atol=1e-5, rtol=1e-4)
    features.sum().backward()  # a classifier on them may train the model
    assert gpt2_lm.decoder.tokens.weight.grad is not None
