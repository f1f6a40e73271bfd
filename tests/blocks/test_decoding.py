import pytest
import torch
from torch.testing import assert_close

from genera.blocks.decoder import Decoder
from genera.blocks.decoding import choose, generate
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
