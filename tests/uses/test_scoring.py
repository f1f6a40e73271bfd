"""`genera score` and `genera sample --prompt`: perplexities of lines, last words, continuations."""

import math

import pytest
import torch

import genera
from commands import genera as command
from genera.errors import GeneraError
from genera.uses import scoring
from genera.uses.scoring import last_words, score_lines, total_of

LINES = ["many boys are hiding the bottle .", "a dog .", "the farmer is cleaning the lamp near the school ."]


@pytest.fixture(scope="module")
def lm_run(trained_lm):
    return genera.load(trained_lm, device="cpu")


def test_each_line_has_the_nats_of_the_model(lm_run, monkeypatch):
    scores = score_lines(lm_run, LINES)
    exact = -lm_run.score(LINES).log_weights[0]
    for one, nats, line in zip(scores, exact.tolist(), LINES, strict=True):
        tokens = len(lm_run.method.tokeniser.encode_batch([line])[0]) - 1
        assert one.nats == pytest.approx(nats, rel=1e-6)
        assert (one.tokens, one.words, one.bytes) == (tokens, len(line.split()), len(line))
        assert one.ppl_token == pytest.approx(math.exp(nats / tokens), rel=1e-6)
        assert one.ppl_word == pytest.approx(math.exp(nats / (one.words + 1)), rel=1e-6)
    total = total_of(scores)
    assert total.nats == pytest.approx(exact.sum().item(), rel=1e-6)
    assert total.bits_per_byte == pytest.approx(total.nats / math.log(2) / sum(len(line) + 1 for line in LINES))
    monkeypatch.setattr(scoring, "AT_ONCE", 2)
    assert [one.nats for one in score_lines(lm_run, LINES)] == pytest.approx([one.nats for one in scores], rel=1e-6)


def test_a_detokenised_text_counts_its_original_words(lm_run, tmp_path):
    """Word perplexity = exp(Σ nats of what the model reads / Σ original words, one end each)."""
    tokenised = ["the dog 's scarf is n't near", "a dog is near the viewers ' school"]
    scores = score_lines(lm_run, tokenised, detokenise="ptb")
    read = ["the dog's scarf isn't near", "a dog is near the viewers' school"]
    nats = -lm_run.score(read).log_weights[0]
    assert [one.nats for one in scores] == pytest.approx(nats.tolist(), rel=1e-6)
    assert [one.words for one in scores] == [7, 8]
    assert [one.bytes for one in scores] == [len(line) for line in tokenised]
    assert total_of(scores).ppl_word == pytest.approx(math.exp(nats.sum().item() / 17), rel=1e-6)
    (tmp_path / "lines.txt").write_text("\n".join(tokenised) + "\n")
    data = ("--data", f"text:{tmp_path}/lines.txt", "--measures", "likelihood", "--json", "--device", "cpu")
    done = command("evaluate", lm_run.folder.path, *data, "--likelihood.detokenise", "ptb")
    assert "--likelihood.detokenise ptb: 100.0% of the texts can be restored exactly" in done.err
    assert done.json["ppl_word"] == pytest.approx(total_of(scores).ppl_word, rel=1e-5)
    assert done.json["bits_per_byte"] == pytest.approx(total_of(scores).bits_per_byte, rel=1e-5)
    failed = command("score", lm_run.folder.path, tmp_path / "lines.txt", "--last-word", "--detokenise", "ptb")
    assert failed.error == "--detokenise does not apply to --last-word; drop one of them."


def test_a_model_with_a_latent_gives_its_bound(run):
    scores = score_lines(run, LINES, samples=20, seed=3)
    weights = run.score(LINES, samples=20, seed=3).log_weights
    bound = math.log(20) - weights.logsumexp(0)
    assert [one.nats for one in scores] == pytest.approx(bound.tolist(), rel=1e-6)


def test_lines_that_are_too_long_are_named_and_the_others_scored(lm_run, tmp_path):
    long = " ".join(["dog"] * 200)
    scores = score_lines(lm_run, [LINES[0], long, LINES[1]])
    assert "this model reads at most 128" in scores[1].problem
    assert scores[1].nats is None
    alone = score_lines(lm_run, [LINES[0], LINES[1]])
    assert [scores[0].nats, scores[2].nats] == pytest.approx([one.nats for one in alone], rel=1e-5)
    assert (total_of(scores).lines, total_of(scores).unread) == (2, 1)
    with pytest.raises(GeneraError, match="no line could be scored: sentence 1"):
        total_of(score_lines(lm_run, [long]))
    (tmp_path / "lines.txt").write_text(f"{LINES[0]}\n{long}\n")
    done = command("score", lm_run.folder.path, tmp_path / "lines.txt", "--device", "cpu")
    assert "not scored: 1 lines (2); the column `problem` says why" in done.err
    assert done.lines[2].startswith("2\t\t\t200\t\t\tsentence 1,")


def test_the_command_prints_a_table_or_json_of_a_file_or_standard_input(lm_run, tmp_path):
    (tmp_path / "lines.txt").write_text("\n".join(LINES) + "\n")
    path = lm_run.folder.path
    table = command("score", path, tmp_path / "lines.txt", "--device", "cpu")
    header, *rows = [line.split("\t") for line in table.lines]
    assert header == ["line", "nats", "tokens", "words", "ppl_token", "ppl_word", "problem"]
    values = command("score", path, "-", "--json", "--device", "cpu", typed="\n".join(LINES)).json
    assert [float(row[1]) for row in rows] == pytest.approx([one["nats"] for one in values["lines"]], rel=1e-4)
    total = total_of(score_lines(lm_run, LINES))
    assert values["total"]["ppl_word"] == pytest.approx(total.ppl_word, rel=1e-5)
    assert f"{total.ppl_word:,.4g} per word" in table.err
    failed = command("score", path, "-", typed="a dog .\n\n")
    assert "standard input:2 is blank" in failed.error


def test_a_model_of_images_scores_no_lines(lm_run, tmp_path, monkeypatch):
    monkeypatch.setattr(type(lm_run.method).dataset, "kind", "images")
    with pytest.raises(GeneraError, match="gpt2-lm has no likelihood of texts: its items are images"):
        score_lines(lm_run, LINES)


def test_last_words_are_those_that_greedy_decoding_writes(lm_run):
    """Also against writing them with the cache: the first word of the greedy continuation."""
    prompts = [
        "many boys are hiding the",
        "the farmer is",
        "a",
        "two dogs are outside the",
        "the nurse is holding a red",
    ]
    written = lm_run.continuations(prompts, temperature=0, max_tokens=12)
    pairs = [(prompt, text.split()[0]) for prompt, (text,) in zip(prompts, written, strict=True) if text[:1] == " "]
    assert len(pairs) > 2  # where it does not go on with the last word
    prompts = [prompt for prompt, _ in pairs]
    right, nats = last_words(lm_run, [" ".join(pair) for pair in pairs])
    assert all(right)
    swapped = [f"{prompt} xylophone" for prompt in prompts]
    wrong, more = last_words(lm_run, swapped)
    assert not any(wrong)
    assert all(a < b for a, b in zip(nats, more, strict=True))
    ends = lm_run.score(swapped).log_weights[0]
    for line, found in zip(swapped, more, strict=True):  # by hand, one line at a time
        method, tokeniser = lm_run.method, lm_run.method.tokeniser
        (ids,), (before,) = tokeniser.encode_batch([line]), tokeniser.encode_batch([line.rsplit(maxsplit=1)[0]])
        row = torch.tensor([ids[:-1]])
        p = method.decoder.logits(method.decoder(row[:, :-1])).log_softmax(-1)
        expected = -p.gather(2, row[:, 1:, None])[0, len(before) - 2 :].sum().item()
        assert found == pytest.approx(expected, rel=1e-5)
    assert len(ends) == len(prompts)
    with pytest.raises(GeneraError, match="line 2, 'dog', has one word"):
        last_words(lm_run, ["a dog", "dog"])


def test_the_command_counts_last_words(lm_run, tmp_path):
    (tmp_path / "lines.txt").write_text("the farmer is xylophone\na dog\n")
    done = command("score", lm_run.folder.path, tmp_path / "lines.txt", "--last-word", "--json", "--device", "cpu").json
    assert [one["word"] for one in done["lines"]] == ["xylophone", "dog"]
    assert done["total"]["accuracy"] == sum(one["right"] for one in done["lines"]) / 2


def test_a_prompt_is_continued(lm_run):
    prompts = ["many boys are", "the", "the nurse"]
    greedy = lm_run.continuations(prompts, temperature=0, max_tokens=8)
    assert greedy == [lm_run.continuations([prompt], temperature=0, max_tokens=8)[0] for prompt in prompts]
    drawn = lm_run.continuations(prompts, 3, seed=1, max_tokens=8)
    assert [len(texts) for texts in drawn] == [3, 3, 3]
    assert (
        drawn
        == lm_run.continuations(prompts, 3, seed=1, max_tokens=8)
        != lm_run.continuations(prompts, 3, seed=2, max_tokens=8)
    )
    (beams,) = lm_run.continuations(["the"], 2, beams=4, max_tokens=8)
    assert len(set(beams)) == 2
    path = lm_run.folder.path
    shown = command("sample", path, "--prompt", "the nurse", "--temperature", 0, "--max-tokens", 8, "--count", 1)
    assert shown.out == f"the nurse{greedy[2][0]}\n"


def test_a_model_that_cannot_continue_says_which_can(run, tmp_path):
    failed = command("sample", run.folder.path, "--prompt", "the")
    assert failed.error == "optimus cannot continue a text; methods that can: gpt2-lm, lm."
    (tmp_path / "lines.txt").write_text("a dog\n")
    failed = command("score", run.folder.path, tmp_path / "lines.txt", "--last-word")
    assert "optimus cannot predict last words; methods that can: gpt2-lm, lm" in failed.error
