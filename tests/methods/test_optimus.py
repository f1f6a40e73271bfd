"""The objective, the bounds and the uses of Optimus, against closed forms and against transformers' BERT and GPT-2."""

from fractions import Fraction

import pytest
import torch
import transformers
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from genera.blocks.pretrained import export_weights
from genera.engine import registry
from genera.engine.dry_run import dry_run
from genera.errors import GeneraError
from genera.measures.likelihood import ImportanceBound
from genera.methods.optimus import method as module
from genera.methods.optimus.config import OptimusConfig


def posterior(mean, log_variance):
    return Normal(mean, (0.5 * log_variance).exp())


def gradients(loss, model):
    """By parameter; None where the loss does not depend on it."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True), strict=True))


# networks


def bert_of(model):
    size = model.network.encoder.size
    config = transformers.BertConfig(
        vocab_size=size.vocabulary, hidden_size=size.hidden, num_hidden_layers=size.layers,
        num_attention_heads=size.heads, intermediate_size=size.feed_forward, max_position_embeddings=size.positions,
    )  # fmt: skip
    bert = transformers.BertModel(config, add_pooling_layer=model.network.encoder.pooler is not None).eval()
    bert.load_state_dict(export_weights(model.network.encoder))
    return bert


def gpt2_of(model):
    size = model.network.decoder.size
    config = transformers.GPT2Config(
        vocab_size=size.vocabulary, n_embd=size.hidden, n_layer=size.layers, n_head=size.heads,
        n_inner=size.feed_forward, n_positions=size.positions, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    gpt2 = transformers.GPT2Model(config).eval()
    gpt2.load_state_dict(export_weights(model.network.decoder))
    return gpt2


@pytest.mark.parametrize("feature", ["pooler", "cls", "mean"])
def test_the_encoder_is_bert_and_a_linear_head(make_optimus, text, feature):
    model, ids = make_optimus(feature=feature), text.batch().encoder
    assert (ids == 0).any()
    mask = ids != 0
    with torch.no_grad():
        out = bert_of(model)(ids, attention_mask=mask.long())
        states = out.last_hidden_state
        h = {
            "pooler": lambda: out.pooler_output,
            "cls": lambda: states[:, 0],
            "mean": lambda: torch.stack([row[real].mean(0) for row, real in zip(states, mask, strict=True)]),
        }[feature]()
        mean, log_variance = model.network.encode(ids)
        assert_close(torch.cat([mean, log_variance], 1), h @ model.network.to_posterior.weight.T, atol=1e-5, rtol=1e-5)


def test_queries_attend_to_the_states_as_multi_head_attention_does(make_optimus, text):
    model, ids = make_optimus(feature="attention", feature_queries=4), text.batch().encoder
    pooling, mask = model.network.pooling, ids != 0
    torch.nn.init.normal_(pooling.positions)
    size = model.network.encoder.size
    reference = torch.nn.MultiheadAttention(size.hidden, size.heads, batch_first=True)
    reference.load_state_dict(
        {
            "in_proj_weight": pooling.attention.qkv.weight,
            "in_proj_bias": pooling.attention.qkv.bias,
            "out_proj.weight": pooling.attention.out.weight,
            "out_proj.bias": pooling.attention.out.bias,
        }
    )
    with torch.no_grad():
        states = model.network.encoder(ids, mask)
        placed = states + pooling.positions[: ids.shape[1]]
        queries = pooling.queries.expand(len(ids), -1, -1)
        read, _ = reference(queries, placed, placed, key_padding_mask=~mask)
        expected = torch.cat([pooling.out(read[:, q]) for q in range(4)], 1)
        assert_close(model.network.features(ids), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("injection", ["both", "memory", "embedding"])
def test_the_decoder_is_gpt2_with_z_as_a_slot_and_in_the_embeddings(make_optimus, text, injection):
    """Slot l is W_M z from l H on, split over the heads, key and value alike; W_D z is added to every embedding."""
    model, ids = make_optimus(injection=injection), text.batch().decoder
    network, gpt2, size = model.network, gpt2_of(model), model.network.decoder.size
    z = torch.randn(len(ids), 4)
    with torch.no_grad():
        inputs = gpt2.wte(ids[:, :-1])
        cache = None
        if injection != "embedding":
            m = z @ network.to_memory.weight.T
            slots = [
                m[:, layer * size.hidden : (layer + 1) * size.hidden].reshape(len(z), size.heads, 1, -1)
                for layer in range(size.layers)
            ]
            cache = transformers.DynamicCache([(slot, slot) for slot in slots])
        if injection != "memory":
            inputs = inputs + (z @ network.to_embedding.weight.T)[:, None]
        logits = gpt2(inputs_embeds=inputs, past_key_values=cache).last_hidden_state @ gpt2.wte.weight.T
        terms = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
        expected = [row[: length - 1].sum() for row, length in zip(terms, text.batch().length, strict=True)]
        assert_close(network.log_likelihood(ids, z), torch.stack(expected), atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(("preset", "parameters"), [("paper", 233_121_024), ("paper-768", 241_599_744)])
def test_published_sizes(preset, parameters):
    """BERT-base cased 108.31 M, GPT-2 small with three more tokens 124.44 M, and the three maps without biases."""
    _, config = registry.preset(f"optimus:{preset}")
    assert dry_run(config)["parameters"] == parameters


# objective


def test_the_objective_is_the_sum_over_tokens_plus_beta_times_the_kl(make_optimus, text, step_at):
    model, batch = make_optimus(beta=0.7, free_bits=0.0), text.batch()
    noise = step_at(0.9).normal(len(batch), 4)
    terms = model.objective(batch, step_at(0.9))
    mean, log_variance = model.network.encode(batch.encoder)
    q = posterior(mean, log_variance)
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    nats = [-model.score_given([s], (q.mean + q.stddev * noise)[i : i + 1]) for i, s in enumerate(text.sentences)]
    reconstruction = torch.cat(nats).mean().float()
    assert_close(terms["reconstruction"], reconstruction)
    assert_close(terms["kl"], kl.mean())
    assert_close(terms["loss"], reconstruction + 0.7 * kl.mean())
    assert_close(terms["beta"], torch.tensor(0.7))


def test_free_bits_have_the_gradient_of_the_released_code(make_optimus, text, step_at):
    """Entries at most lambda are zeroed there, in each sentence: the loss differs by a constant."""
    threshold = 0.05
    model, batch = make_optimus(free_bits=threshold), text.batch()
    terms = model.objective(batch, step_at(0.99))
    mean, log_variance = model.network.encode(batch.encoder)
    kl = kl_divergence(posterior(mean, log_variance), Normal(0.0, 1.0))
    below = kl <= threshold
    assert 0.1 < below.float().mean() < 0.9, "the test needs entries on both sides"
    z = mean + (0.5 * log_variance).exp() * step_at(0.99).normal(len(batch), 4)  # the same noise
    reconstruction = -model.network.log_likelihood(batch.decoder, z)
    theirs = (reconstruction + torch.where(below, 0.0, kl).sum(1)).mean()
    assert_close(terms["loss"] - theirs, threshold * below.float().sum(1).mean(), atol=1e-4, rtol=1e-4)
    ours, other = gradients(terms["loss"], model), gradients(theirs, model)
    for name in ours:
        assert_close(ours[name], other[name], atol=1e-5, rtol=1e-4)
    assert_close(terms["kl"], kl.sum(1).mean())  # what is logged has no threshold


def test_free_bits_over_the_batch_are_another_objective(make_optimus):
    threshold = 0.5
    kl = torch.tensor([[0.1, 2.0], [0.3, 0.2]])
    sentence = make_optimus(free_bits=threshold).pressed(kl)
    batch = make_optimus(free_bits=threshold, free_bits_over="batch").pressed(kl)
    assert_close(sentence, torch.tensor((0.5 + 2.0 + 0.5 + 0.5) / 2))
    assert_close(batch, torch.tensor(0.5 + 1.1))
    assert_close(make_optimus(free_bits=0.0).pressed(kl), torch.tensor((2.1 + 0.5) / 2))


def test_beta_zero_drops_the_kl_and_still_samples(make_optimus, text, step_at):
    model, batch = make_optimus(beta=0.0), text.batch()
    first, second = model.objective(batch, step_at(0.9)), model.objective(batch, step_at(0.9, index=1))
    assert torch.equal(first["loss"], first["reconstruction"])
    assert first["loss"] != second["loss"]  # the noise differs
    log_variance_half = gradients(first["loss"], model)["network.to_posterior.weight"][4:]
    assert log_variance_half.abs().max() > 0


def test_length_weighting_divides_by_the_ids_with_both_ends_and_leaves_the_kl(make_optimus, text, step_at):
    model, batch = make_optimus(length_weighted=True, free_bits=0.0, beta=0.3), text.batch()
    terms = model.objective(batch, step_at(0.9))
    mean, log_variance = model.network.encode(batch.encoder)
    z = mean + (0.5 * log_variance).exp() * step_at(0.9).normal(len(batch), 4)
    lengths = torch.tensor([len(model.assets.decoder.encode_batch([s])[0]) for s in text.sentences])
    assert len(set(lengths.tolist())) > 1
    per_token = (-model.network.log_likelihood(batch.decoder, z) / lengths).mean()
    assert_close(terms["loss"], per_token + 0.3 * terms["kl"])
    assert_close(terms["reconstruction"], -model.network.log_likelihood(batch.decoder, z).mean())


def test_unit_variance_adds_unit_noise_and_its_kl_is_half_the_squared_mean(make_optimus, text, step_at):
    model, batch = make_optimus(unit_variance=True), text.batch()
    terms = model.objective(batch, step_at(0.9))
    mean, log_variance = model.network.encode(batch.encoder)
    assert torch.equal(log_variance, torch.zeros_like(mean))
    assert_close(terms["kl"], 0.5 * mean.square().sum(1).mean())
    z = mean + step_at(0.9).normal(len(batch), 4)
    assert_close(terms["reconstruction"], -model.network.log_likelihood(batch.decoder, z).mean())


# schedules of beta


def published(step, steps, cycles, hold, ramp):
    """Beta / beta_max in exact arithmetic: 0, then a rise whose first value is 0, then 1, in equal periods."""
    place = Fraction(step * cycles, steps) % 1
    return 0 if place < hold else min(Fraction(1), (place - hold) / ramp)


@pytest.mark.parametrize(("steps", "cycles"), [(1000, 10), (3125, 1), (508_523 // 100, 10), (700, 7), (90, 6)])
def test_cyclical_beta_over_a_whole_run(make_optimus, steps, cycles):
    model = make_optimus(beta=0.5, beta_cycles=cycles)
    values = [model.beta(step / steps) for step in range(steps)]
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    expected = [0.5 * float(published(step, steps, cycles, half, quarter)) for step in range(steps)]
    assert values == pytest.approx(expected, abs=1e-9)


def test_the_other_schedules_of_beta(make_optimus):
    constant = make_optimus(beta=0.7, beta_schedule="constant")
    assert [constant.beta(p) for p in (0.0, 0.4, 0.999)] == [0.7] * 3
    monotone = make_optimus(beta=2.0, beta_schedule="monotone", beta_hold=0.2, beta_ramp=0.4)
    assert [monotone.beta(p) for p in (0.0, 0.19, 0.2, 0.4, 0.6, 0.999)] == pytest.approx([0, 0, 0, 1, 2, 2])
    at_once = make_optimus(beta_hold=0.5, beta_ramp=0.0)
    assert [at_once.beta(p) for p in (0.49, 0.5, 0.9)] == [0, 1, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta_hold": 0.8, "beta_ramp": 0.4}, "sum to at most 1"),
        ({"beta_hold": -0.1}, "--beta-hold"),
        ({"beta_schedule": "monotone", "beta_cycles": 4}, "--beta-cycles is for the cyclical schedule"),
        ({"beta": -1.0}, "--beta must be"),
        ({"free_bits": -0.5}, "--free-bits"),
        ({"latent_size": 0}, "--latent-size"),
    ],
)
def test_settings_that_make_no_sense(options, words):
    complaints = OptimusConfig(**options).check()
    assert len(complaints) == 1
    assert words in complaints[0]


def test_validation_is_at_the_full_beta(make_optimus, text, step_at):
    model, batch = make_optimus(), text.batch()
    assert model.validate(batch, step_at(0.0))["beta"] == 1.0
    assert model.objective(batch, step_at(0.0))["beta"] == 0.0


# likelihood


def bound(log_weights):
    streamed = ImportanceBound()
    streamed.add(log_weights)
    return streamed.value()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_weights_are_log_likelihood_plus_log_prior_minus_log_posterior(make_optimus, text):
    model, samples = make_optimus(), 6
    score = model.score(text.sentences, samples, generator=generator())
    q = model.encode(text.sentences)
    q = posterior(q.mean.double(), q.log_variance.double())
    z = q.mean + q.stddev * torch.randn(samples, *q.mean.shape, generator=generator()).double()
    ratio = (Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(2)
    given = torch.stack([model.score_given(text.sentences, part.float()) for part in z])
    assert_close(score.log_likelihood, given, atol=1e-4, rtol=1e-6)
    assert_close(score.log_weights, given + ratio, atol=1e-4, rtol=1e-6)
    assert_close(score.kl.double(), kl_divergence(q, Normal(0.0, 1.0)).sum(1), atol=1e-5, rtol=1e-5)
    assert score.lengths["tokens"].tolist() == [len(r) - 1 for r in model.assets.decoder.encode_batch(text.sentences)]


def test_one_sample_is_the_elbo_with_a_sampled_kl(make_optimus, text):
    """In expectation; five standard errors."""
    model, samples = make_optimus(), 2000
    score = model.score(text.sentences[:2], samples, generator=generator())
    sampled_kl = score.log_likelihood - score.log_weights
    error = sampled_kl.std(0) / samples**0.5
    assert ((sampled_kl.mean(0) - score.kl).abs() < 5 * error).all()
    assert_close(bound(score.log_weights[:1]), score.log_weights[0])


def test_the_bound_tightens_to_the_likelihood_itself(make_optimus, text):
    """log p(x) by quadrature over a latent of one dimension: what the encoder proposes must not matter in the end."""
    model, items, samples = make_optimus(latent_size=1), text.sentences[:2], 4000
    weights = model.score(items, samples, generator=generator()).log_weights
    grid = torch.linspace(-8, 8, 801)[:, None]
    likelihood = torch.stack([model.score_given([item] * len(grid), grid) for item in items], 1)
    exact = torch.trapezoid((likelihood + Normal(0.0, 1.0).log_prob(grid.double())).exp(), grid.double(), dim=0).log()
    elbo, few, many = (torch.stack([bound(part) for part in weights.split(k)]).mean(0) for k in (1, 10, 100))
    assert (elbo < few).all()
    assert (few < many).all()
    assert (many < exact + 0.02).all()
    assert_close(bound(weights), exact, atol=0.1, rtol=0)
    assert ((exact - elbo) > 0.3).all(), "a bound that is tight from the start would show nothing"


def test_scores_depend_on_neither_padding_nor_chunks(make_optimus, text, monkeypatch):
    model, z = make_optimus(), torch.randn(len(text.sentences), 4)
    together = model.score_given(text.sentences, z)
    alone = torch.cat([model.score_given([s], z[i : i + 1]) for i, s in enumerate(text.sentences)])
    assert_close(together, alone, atol=1e-4, rtol=1e-6)
    items = text.sentences[::3]
    whole = model.score(items, 5, generator=generator())
    monkeypatch.setattr(module, "ROWS_AT_ONCE", len(items))
    in_chunks = model.score(items, 5, generator=generator())
    assert_close(whole.log_weights, in_chunks.log_weights, atol=1e-4, rtol=1e-6)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    assert_close(model.score_given(text.sentences, z), together, atol=1e-4, rtol=1e-6)


# encode and decode


def test_a_posterior_does_not_depend_on_the_batch(make_optimus, text, monkeypatch):
    model = make_optimus()
    together = model.encode(text.sentences)
    alone = torch.cat([model.encode([s]).mean for s in text.sentences])
    assert_close(together.mean, alone, atol=1e-5, rtol=1e-5)
    assert together.mean.std(0).min() > 1e-3, "the sentences must differ for this to mean something"
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 3)
    assert_close(model.encode(text.sentences).log_variance, together.log_variance, atol=1e-5, rtol=1e-5)


def test_greedy_decoding_is_deterministic_and_does_not_depend_on_the_batch(make_optimus, monkeypatch):
    model, z = make_optimus(), 3 * torch.randn(7, 4)
    texts = model.decode(z)
    assert len(set(texts)) > 1
    assert texts == model.decode(z)
    assert texts == [model.decode(row[None])[0] for row in z]
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    assert texts == model.decode(z)


def test_beam_search_does_not_depend_on_the_batch(make_optimus, monkeypatch):
    model, z = make_optimus(), 3 * torch.randn(7, 4)
    texts = model.decode(z, beams=4, max_tokens=8)
    assert texts != model.decode(z, max_tokens=8)
    assert texts == [model.decode(row[None], beams=4, max_tokens=8)[0] for row in z]
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    assert texts == model.decode(z, beams=4, max_tokens=8)


def test_samples_follow_their_generator(make_optimus):
    model = make_optimus()
    drawn = model.sample(8, generator=generator(), temperature=1.0, top_p=0.9)
    assert drawn == model.sample(8, generator=generator(), temperature=1.0, top_p=0.9)
    assert drawn != model.sample(8, generator=generator(1), temperature=1.0, top_p=0.9)
    with pytest.raises(GeneraError, match=r"'temprature'.*temperature"):
        model.sample(1, temprature=1.0)


def test_special_tokens_in_a_sentence_are_spelled_out(make_optimus):
    model = make_optimus()
    plain, literal = model.encode(["a dog sits"]).mean, model.encode(["a dog [SEP] sits <EOS>"])
    assert not torch.allclose(plain, literal.mean)
    batch = model._batches(["a dog [SEP] sits <EOS> on"])[0]
    assert (batch.encoder == model.assets.encoder.eos).sum() == 1
    assert (batch.decoder == model.assets.decoder.eos).sum() == 1


def test_sentences_that_cannot_be_read(make_optimus):
    model = make_optimus()
    with pytest.raises(GeneraError, match="sentence 2 is empty"):
        model.encode(["a dog .", "  ", "a cat ."])
    with pytest.raises(GeneraError, match="has 102 tokens; this model reads at most 48"):
        model.score([" ".join(["."] * 100)], 2)


@pytest.mark.parametrize("injection", ["both", "embedding"])
def test_a_sentence_that_fills_every_position(make_optimus, injection):
    model = make_optimus(injection=injection)
    z = model.encode([" ".join(["."] * 46)]).mean
    assert model.score_given([" ".join(["."] * 46)], z).isfinite().all()


def test_likelihoods_are_read_in_parts_of_bounded_size(monkeypatch):
    from genera.methods.families import text_vae

    config = registry.preset("optimus:nano")[1]
    assets, _ = registry.entry("optimus").load().dataset.sketch(config.data, 1)
    network = registry.entry("optimus").load()(config.model, assets).eval().network
    ids, z = torch.randint(5, 200, (7, 9)), torch.randn(7, network.config.latent_size)
    rows = []
    decoder = network.decoder.forward
    monkeypatch.setattr(network.decoder, "forward", lambda ids, **given: rows.append(len(ids)) or decoder(ids, **given))
    whole = network.log_likelihood(ids, z)
    monkeypatch.setattr(text_vae, "TOKENS_AT_ONCE", 27)
    with torch.no_grad():
        torch.testing.assert_close(network.log_likelihood(ids, z), whole.detach(), rtol=1e-5, atol=1e-4)
    assert rows == [7, 3, 3, 1]
    network.log_likelihood(ids, z)
    assert rows[-1] == 7, "with gradients all at once"
