"""Responses of a trained model: from Python, measured, reported, compared, and as a conversation."""

import shutil
from html import unescape

import pytest
import torch

import genera
from genera.engine.registry import configure
from genera.errors import GeneraError
from genera.evaluation.evaluate import evaluate
from genera.evaluation.evaluator import diagnose
from genera.evaluation.registry import definition, evaluators
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.storage import FOLDER
from genera.files import read_json, write_json
from genera.measures.schema import Figure, Figures
from genera.report.compare import comparison_table, write_comparison
from genera.report.page import write_report
from genera.uses.conversation import Conversation

FEW = {"responses": {"contexts": 12, "count": 4}, "response-likelihood": {"items": 30, "samples": 3}}
CONTEXT = ["what is the actress hiding near the castle ?"]


def train(out, preset, **options):
    torch.set_num_threads(1)
    small = {"data": "world:dialogues", "limit": 400, "vocabulary": 400, "batch_size": 16, "warmup": 10}
    config = configure(
        f"spacefusion:{preset}", **small, validate_every=0, checkpoint_every=500, device="cpu", **options
    )
    return genera.train(config, out).path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("dialogues") / "style", "nano-style", steps=60)


@pytest.fixture(scope="module")
def measured(trained):
    return evaluate(genera.load(trained, device="cpu"), **FEW)


def shown(stored):
    """Contexts with their responses, as the report has them."""
    return next(block["cards"] for block in stored.blocks if block["section"] == "Responses")


def test_responses_are_drawn_by_the_seed(trained):
    run = genera.load(trained, device="cpu")
    first = run.respond(CONTEXT, 3)
    assert len(first) == 3
    assert run.respond(CONTEXT, 3) == first != run.respond(CONTEXT, 3, seed=1)
    with pytest.raises(GeneraError, match="number of responses must be at least 1"):
        run.respond(CONTEXT, 0)
    with pytest.raises(GeneraError, match="a context is a list of at least one turn"):
        run.respond("hello")


def test_every_figure_is_measured_and_defined(measured):
    figures = measured.values
    assert set(figures) == {
        *("bleu_recall", "bleu_precision", "bleu_f1", "bow_average", "bow_greedy", "bow_extrema"),
        *("distinct_1_within", "distinct_2_within", "distinct_1_across", "distinct_2_across"),
        *("response_nats", "response_ppl_word", "response_floor", "response_lost_on_swap", "response_swap_share"),
        *("valid_responses", "valid_covered", "style_ngram", "style_ngram_references", "style_ngram_style"),
        *("bleu_f1_unrelated", "bleu_f1_references", "valid_unrelated", "distinct_2_across_data"),
        *("fluency_responses", "fluency_data", "fluency_unigram", "fluency_shuffled"),
    }
    assert {definition(name).group for name in figures} == {"Responses", "Fluency"}
    assert figures["bleu_f1_unrelated"] < figures["bleu_f1_references"]
    assert figures["valid_unrelated"] < 0.1
    assert figures["fluency_data"] < figures["fluency_unigram"]
    assert figures["bleu_recall"] >= figures["bleu_f1"] >= figures["bleu_precision"] > 0
    assert figures["response_nats"] > figures["response_floor"] > 1
    assert figures["style_ngram_references"] < 0.2 < 0.8 < figures["style_ngram_style"]


def test_the_style_is_measured_with_the_style_alone(tmp_path):
    run = genera.load(train(tmp_path / "plain", "nano-seq2seq", steps=2), device="cpu")
    few = FEW | {"responses": {"contexts": 3, "count": 4}}
    assert not any(name.startswith("style") for name in evaluate(run, **few).values)
    with pytest.raises(GeneraError, match="cannot be measured by 'style': needs sentences in a style: --style SOURCE"):
        evaluate(run, measures=("style",))
    asked = evaluate(
        run, EvaluateConfig(style="world:dialogues-style", measures=("style",)), responses=few["responses"]
    )
    assert asked.values["style_ngram_style"] > 0.8


def test_word_vectors_may_come_from_a_file(trained, tmp_path):
    run = genera.load(shutil.copytree(trained, tmp_path / "copy"), device="cpu")
    words = ["the", "is", "a", "thank", "you", "."]
    (tmp_path / "vectors.txt").write_text("".join(f"{word} 1 {i}\n" for i, word in enumerate(words)))

    def with_vectors(**options):
        few = {"contexts": 4, "count": 4, **options}
        return evaluate(run, measures=("responses",), responses=few).values

    one, other = with_vectors(), with_vectors(embeddings=str(tmp_path / "vectors.txt"))
    assert one["bow_average"] != other["bow_average"]
    assert one["bleu_f1"] == other["bleu_f1"]
    with pytest.raises(GeneraError, match="cannot read"):
        with_vectors(embeddings="nowhere.txt")


def test_the_report_shows_contexts_and_responses(trained, measured):
    page = unescape(write_report(trained).read_text())
    card = shown(measured)[0]
    assert [line["role"] for line in card if line["role"] == "response"] == ["response"] * 4
    assert all(line["text"] in page for line in card)
    assert "<h2>Responses</h2>" in page
    assert "Reconstructions" not in page


def test_runs_are_compared(trained, measured, tmp_path):
    other = shutil.copytree(trained, tmp_path / "other")
    file = other / FOLDER / f"{measured.name}.json"
    values = read_json(file)
    figures = {f["measure"]: f for result in values["results"].values() for f in result["figures"]}
    figures["response_nats"]["value"] = 0.01
    figures["bleu_f1"]["value"] = 0.9
    write_json(file, values)
    table = comparison_table([trained, other])
    assert table["comparable"]
    assert table["measures"]["response_nats"]["best"] == [1]
    assert table["measures"]["bleu_f1"]["best"] == []  # its standard error is unknown
    page = write_comparison([trained, other], tmp_path / "comparison.html").read_text()
    assert shown(measured)[0][0]["text"] in page
    assert "<h2>Samples</h2>" not in page


def test_a_conversation_remembers(trained):
    run = genera.load(trained, device="cpu")
    talk = Conversation(run, seed=3)
    first = talk.say(" where is the sailor selling a kite ? ")
    second = talk.say("thank you .")
    assert talk.turns == ["where is the sailor selling a kite ?", first, "thank you .", second]
    assert second == run.respond(talk.turns[:3], 1, seed=5)[0]
    with pytest.raises(GeneraError, match="is empty"):
        talk.say(" ")
    assert len(talk.turns) == 4


def test_a_run_of_optimus_is_a_beginning(trained, tmp_path):
    small = {"limit": 300, "vocabulary": 400, "steps": 2, "batch_size": 16, "validate_every": 0, "device": "cpu"}
    optimus = genera.train(configure("optimus:nano", data="world:captions-small", **small), tmp_path / "optimus")
    begun = configure("spacefusion:nano", data="world:dialogues", lr=1e-9, init=str(optimus.path), **small)
    run = genera.load(genera.train(begun, tmp_path / "begun").path, device="cpu")
    first, network = genera.load(optimus.path, device="cpu"), run.method.network
    assert run.method.assets.decoder.to_json() == first.method.assets.decoder.to_json()
    for name, tensor in first.method.network.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], tensor, atol=1e-6, rtol=0)
    last = first.method.network.encoder.blocks[-1].state_dict()
    for name, tensor in run.method.context_layers.blocks[-1].state_dict().items():
        torch.testing.assert_close(tensor, last[name], atol=1e-6, rtol=0)


def test_other_methods_say_who_can(tmp_path):
    small = {"limit": 300, "vocabulary": 400, "steps": 1, "batch_size": 16, "validate_every": 0, "device": "cpu"}
    out = genera.train(configure("gpt2-lm:nano", data="world:captions-small", **small), tmp_path / "lm").path
    with pytest.raises(GeneraError, match="gpt2-lm cannot respond to a dialogue; methods that can: spacefusion"):
        genera.load(out, device="cpu").respond(CONTEXT)
    with pytest.raises(GeneraError, match="--style does not apply to gpt2-lm, whose items are text"):
        evaluate(genera.load(out, device="cpu"), EvaluateConfig(style="world:dialogues-style"))


REFERENCES = {
    "valid_unrelated": 0.02, "bleu_f1_unrelated": 0.3, "bleu_f1_references": 0.7, "distinct_2_across_data": 0.6,
    "fluency_data": 3.0, "fluency_unigram": 500.0, "fluency_shuffled": 520.0,
}  # fmt: skip
SOUND = REFERENCES | {
    "valid_responses": 0.95, "valid_covered": 0.6, "bleu_f1": 0.68, "distinct_2_across": 0.5, "fluency_responses": 3.2,
    "response_lost_on_swap": 6.0, "response_swap_share": 0.4,
}  # fmt: skip


def said(figures):
    measured = Figures(Figure(name, value, None, 100) for name, value in figures.items())
    return diagnose(measured, list(evaluators().values()))


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (
            {"response_lost_on_swap": 0.1},
            "ignore the context: the context of another dialogue costs 0.10 nats a response.",
        ),
        (SOUND | {"response_swap_share": 0.01}, "costs 6.00 nats a response, 1.0% of its nats"),
        (SOUND | {"distinct_2_across": 0.05}, "Responses are poor: distinct pairs of words 5 % (one pair: 0 %"),
        (
            SOUND | {"valid_responses": 0.05},
            "Responses are poor: right responses 5 % (responses to other contexts: 2 %",
        ),
        (SOUND | {"bleu_f1": 0.31}, "Responses are poor: BLEU F1 0.31"),
        (SOUND | {"fluency_responses": 300.0}, "Responses are poor: perplexity under a reference model 300"),
        ({"response_nats": 1.0, "response_floor": 2.0}, "The likelihood is impossible: 1.00 nats"),
    ],
)
def test_the_diagnosis_warns_in_words(figures, words):
    findings = said(figures)
    assert words in findings[0].finding
    assert findings[0].level == "warning"
    assert not any(finding.level == "good" for finding in findings)


def test_the_diagnosis_praises_only_what_it_knows():
    (finding,) = said(SOUND)
    assert finding.level == "good"
    assert finding.finding.startswith("Responses are good: right responses 95 %")
    one_reference = {k: v for k, v in SOUND.items() if k not in ("valid_responses", "bleu_f1_references")}
    (finding,) = said(one_reference)
    assert "unknown" in finding.finding
    assert "Not known: whether they fit the context" in finding.finding
