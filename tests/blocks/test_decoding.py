import pytest
import torch
from torch.testing import assert_close

from genera.blocks.decoder import Decoder
from genera.blocks.decoding import beam_search, choose, decoder_writer, generate
from genera.blocks.decoding_options import Decoding
from genera.blocks.size import TransformerSize
from genera.errors import GeneraError

PAD, START, END = 0, 1, 2
GREEDY = Decoding(max_tokens=10)


@pytest.fixture
def model() -> Decoder:
    """Sharp enough to have clear winners, and to end some rows early."""
    torch.manual_seed(3)
    size = TransformerSize(layers=2, hidden=16, heads=2, feed_forward=32, vocabulary=7, positions=16)
    gpt2 = Decoder(size).eval()
    with torch.no_grad():
        for parameter in gpt2.parameters():
            parameter.normal_(std=0.6)
    return gpt2


def latents(count: int) -> dict[str, torch.Tensor]:
    dice = torch.Generator().manual_seed(4)
    return {
        "memory": torch.randn(count, 2, 2, 1, 8, generator=dice),
        "embedding": 4 * torch.randn(count, 16, generator=dice),
    }


def recomputed(model: Decoder, prompt: list[int], steps: int, memory=None, embedding=None) -> list[int]:
    """Greedy decoding of one row with the whole prefix computed anew for each token."""
    ids = list(prompt)
    while len(ids) - len(prompt) < steps and END not in ids[len(prompt) :]:
        logits = model.logits(model(torch.tensor([ids]), memory=memory, embedding=embedding)[0, -1])
        logits[[PAD, START]] = -torch.inf
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("prompt", [[START], [START, 4, 5]])
def test_greedy_equals_recomputing_and_each_row_alone(model, prompt):
    count = 12
    z = latents(count)
    start = torch.tensor([prompt]).expand(count, -1)
    forbid = (PAD, START)
    ids = generate(model, start=start, decoding=GREEDY, end=END, pad=PAD, forbid=forbid, **z)
    lengths = []
    for row in range(count):
        one = {name: value[row : row + 1] for name, value in z.items()}
        wanted = recomputed(model, prompt, 10, **one)
        lengths.append(len(wanted))
        assert ids[row].tolist() == wanted + [PAD] * (ids.shape[1] - len(wanted))
        alone = generate(model, start=start[:1], decoding=GREEDY, end=END, pad=PAD, forbid=forbid, **one)
        assert alone[0].tolist() == wanted
    # Rows end at different times, so that the batch shrank on the way.
    assert len(set(lengths)) > 2
    assert ids.shape[1] == max(lengths)


def test_sampling_depends_on_the_generator_alone(model):
    start = torch.full((8, 1), START)
    decoding = Decoding(temperature=1.0, max_tokens=10)

    def draw(seed: int) -> torch.Tensor:
        dice = torch.Generator().manual_seed(seed)
        return generate(model, start=start, decoding=decoding, end=END, pad=PAD, generator=dice)

    assert torch.equal(draw(1), draw(1))
    assert draw(1).shape != draw(2).shape or not torch.equal(draw(1), draw(2))


def test_sampled_sentences_have_the_frequencies_of_the_model(model):
    with torch.no_grad():
        model.norm.weight.mul_(0.3)  # flatter
        start, count = torch.full((20_000, 1), START), 20_000
        dice = torch.Generator().manual_seed(0)
        decoding = Decoding(temperature=1.0, max_tokens=2)
        ids = generate(model, start=start, decoding=decoding, end=END, pad=PAD, forbid=(PAD,), generator=dice)
        first = model.logits(model(start[:1])[0, -1])
        first[PAD] = -torch.inf
        p = first.softmax(0)
        found = torch.bincount(ids[:, 0], minlength=7) / count
        assert_close(found, p, atol=4 * 0.5 / count**0.5, rtol=0)
        word = int(torch.tensor([0.0, 1, 0, 1, 1, 1, 1]).mul(p).argmax())
        second = model.logits(model(torch.tensor([[START, word]]))[0, -1])
        second[PAD] = -torch.inf
        follows = ids[ids[:, 0] == word, 1]
        found = torch.bincount(follows, minlength=7) / len(follows)
        assert_close(found, second.softmax(0), atol=4 * 0.5 / len(follows) ** 0.5, rtol=0)


def frequencies(logits: torch.Tensor, decoding: Decoding, count: int = 40_000) -> torch.Tensor:
    """Over an even grid of the uniform number, which makes them exact to 1/count."""
    uniform = (torch.arange(count) + 0.5) / count
    chosen = choose(logits.expand(count, -1), decoding, uniform)
    return torch.bincount(chosen, minlength=len(logits)) / count


P = torch.tensor([0.05, 0.4, 0.1, 0.3, 0.15])


@pytest.mark.parametrize(
    ("decoding", "wanted"),
    [
        (Decoding(temperature=1.0), P),
        (Decoding(temperature=0.5), P**2 / (P**2).sum()),
        (Decoding(temperature=1.0, top_k=2), [0, 4 / 7, 0, 3 / 7, 0]),
        (Decoding(temperature=1.0, top_k=9), P),
        (Decoding(temperature=1.0, top_p=0.69), [0, 4 / 7, 0, 3 / 7, 0]),
        (Decoding(temperature=1.0, top_p=0.71), [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        (Decoding(temperature=1.0, top_p=0.01), [0.0, 1, 0, 0, 0]),
        (Decoding(temperature=1.0, top_k=3, top_p=0.8), [0, 4 / 7, 0, 3 / 7, 0]),  # .4/.85 + .3/.85 = .82
    ],
)
def test_choices_have_the_distribution_asked_for(decoding, wanted):
    assert_close(frequencies(P.log(), decoding), torch.as_tensor(wanted), atol=1e-3, rtol=0)


def test_impossible_tokens_are_not_chosen_at_the_ends_of_the_unit_interval():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]]).expand(2, -1)
    uniform = torch.tensor([0.0, 1 - 2**-24])
    for decoding in (Decoding(temperature=1.0), Decoding(temperature=1.0, top_p=0.999)):
        assert set(choose(logits, decoding, uniform).tolist()) == {1, 3}


def test_length_is_capped_by_positions(model):
    z = latents(1)
    for prompt, memory, room in [(4, None, 13), (16, None, 1), (4, z["memory"], 12), (15, z["memory"], 1)]:
        start = torch.full((1, prompt), START)
        long = Decoding(max_tokens=99)
        ids = generate(model, start=start, decoding=long, end=END, pad=PAD, forbid=(END,), memory=memory)
        assert ids.shape == (1, room)
    with pytest.raises(GeneraError, match="prompt of 16 tokens does not fit the 15 positions"):
        generate(model, start=start.new_ones(1, 16), decoding=long, end=END, pad=PAD, memory=z["memory"])


def test_generated_ids_can_be_trained_on(model):
    ids = generate(model, start=torch.full((2, 1), START), decoding=GREEDY, end=END, pad=PAD)
    model(ids).sum().backward()
    assert model.tokens.weight.grad is not None


# beam search


def search(model: Decoder, start: torch.Tensor, decoding: Decoding, forbid=(PAD, START), **z):
    writer, decoding = decoder_writer(model, start, decoding, **z)
    return beam_search(writer, start=start, decoding=decoding, end=END, pad=PAD, forbid=forbid)


def every_continuation(model: Decoder, prompt: list[int], steps: int, **z) -> dict[tuple[int, ...], float]:
    """Tokens → log p of every continuation that has ended or has all its steps. Each is scored from scratch."""
    done, going = {}, {(): 0.0}
    for _ in range(steps):
        longer = {}
        for tokens, total in going.items():
            logits = model.logits(model(torch.tensor([[*prompt, *tokens]]), **z)[0, -1])
            logits[[PAD, START]] = -torch.inf
            for token, gain in enumerate(logits.log_softmax(0).tolist()):
                if token not in (PAD, START):
                    (done if token == END else longer)[(*tokens, token)] = total + gain
        going = longer
    return done | going


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 2.0])
def test_a_wide_beam_is_an_exhaustive_search(model, penalty):
    """5 tokens, 4 steps: at most 341 hypotheses at once."""
    z, prompt = latents(3), [START, 4]
    decoding = Decoding(max_tokens=4, beams=341, length_penalty=penalty)
    ids, scores = search(model, torch.tensor([prompt]).expand(3, -1), decoding, **z)
    for row in range(3):
        one = {name: value[row : row + 1] for name, value in z.items()}
        with torch.no_grad():
            brute = every_continuation(model, prompt, 4, **one)
        best = sorted(brute, key=lambda t: brute[t] / len(t) ** penalty, reverse=True)[:20]
        for rank, tokens in enumerate(best):
            assert scores[row, rank].item() == pytest.approx(brute[tokens] / len(tokens) ** penalty, abs=1e-4)
        assert ids[row, 0].tolist() == [*best[0], *[PAD] * (ids.shape[2] - len(best[0]))]
        assert scores[row].isfinite().sum() == len(brute)


@pytest.mark.parametrize("prompt", [[START], [START, 4, 5]])
def test_one_beam_is_greedy_decoding(model, prompt):
    z, start = latents(12), torch.tensor([prompt]).expand(12, -1)
    greedy = generate(model, start=start, decoding=GREEDY, end=END, pad=PAD, forbid=(PAD, START), **z)
    ids, _ = search(model, start, GREEDY, **z)
    assert torch.equal(ids[:, 0], greedy)


def test_each_row_is_searched_as_if_alone_and_as_if_recomputed(model):
    """So that the cache of each beam is that of its hypothesis."""
    z, start, decoding = latents(6), torch.tensor([[START, 3]]).expand(6, -1), Decoding(max_tokens=10, beams=4)
    ids, scores = search(model, start, decoding, **z)
    best = generate(model, start=start, decoding=decoding, end=END, pad=PAD, forbid=(PAD, START), **z)
    better = 0
    for row in range(6):
        one = {name: value[row : row + 1] for name, value in z.items()}
        alone, alone_scores = search(model, start[:1], decoding, **one)
        length = alone.shape[2]
        assert torch.equal(ids[row, :, :length], alone[0])
        assert_close(scores[row], alone_scores[0])
        assert best[row].tolist()[:length] == alone[0, 0].tolist()[: best.shape[1]]
        for hypothesis, score in zip(alone[0].tolist(), alone_scores[0].tolist(), strict=True):
            tokens = [token for token in hypothesis if token != PAD]
            assert mean_log_p(model, [START, 3], tokens, **one) == pytest.approx(score, abs=1e-4)
        assert (alone_scores[0].diff() <= 0).all()
        better += scores[row, 0].item() > mean_log_p(model, [START, 3], recomputed(model, [START, 3], 10, **one), **one)
    assert better > 0  # a search finds what greedy decoding misses


def mean_log_p(model: Decoder, prompt: list[int], tokens: list[int], **z) -> float:
    with torch.no_grad():
        logits = model.logits(model(torch.tensor([[*prompt, *tokens[:-1]]]), **z)[0, len(prompt) - 1 :])
    logits[:, [PAD, START]] = -torch.inf
    return logits.log_softmax(1).gather(1, torch.tensor(tokens)[:, None]).mean().item()


def test_a_longer_output_is_what_a_higher_penalty_gives(model):
    z, start = latents(12), torch.full((12, 1), START)
    lengths = []
    for penalty in (-2.0, 0.0, 3.0):
        decoding = Decoding(max_tokens=10, beams=8, length_penalty=penalty)
        ids = generate(model, start=start, decoding=decoding, end=END, pad=PAD, forbid=(PAD, START), **z)
        lengths.append((ids != PAD).sum().item())
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beams": 0}, "beams is 0; it must be 1"),
        ({"beams": 4, "temperature": 0.5}, r"beam search \(beams 4\) does not sample"),
        ({"beams": 4, "top_k": 5}, "does not sample"),
        ({"length_penalty": float("nan")}, "must be a finite number"),
    ],
)
def test_options_that_a_search_cannot_have(options, words):
    with pytest.raises(GeneraError, match=words):
        Decoding(**options)
