"""Export and import: what others compute with an export, and what comes back of it."""

import json
import re
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import genera
import small_methods  # noqa: F401  (registers the small methods)
from genera.engine.origin import Origin
from genera.errors import GeneraError
from genera.report.export import export_run
from genera.uses.share import import_run

SENTENCES = ["many boys are hiding the bottle .", "a nurse is fixing a kite near the school ."]


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    return export_run(genera.load(trained, device="cpu"), tmp_path_factory.mktemp("exported") / "optimus")


@pytest.fixture(scope="module")
def exported_lm(trained_lm, tmp_path_factory):
    return export_run(genera.load(trained_lm, device="cpu"), tmp_path_factory.mktemp("exported") / "lm")


@pytest.fixture
def spoiled(exported, tmp_path):
    """A copy to be changed."""
    return shutil.copytree(exported, tmp_path / "spoiled")


@pytest.fixture(scope="module")
def original(exported, tmp_path_factory):
    """The same model under the names of the original code, as its authors would save it: in two files."""
    folder = tmp_path_factory.mktemp("original")
    maps = load_file(exported / "latent.safetensors")
    for side, model in (
        ("encoder", transformers.BertModel.from_pretrained(exported / "encoder")),  # its pooler is a random one
        ("decoder", transformers.GPT2LMHeadModel.from_pretrained(exported / "decoder")),
    ):
        state = {f"{side}.{name}": tensor.clone() for name, tensor in model.state_dict().items()}
        state |= {name: tensor for name, tensor in maps.items() if name.startswith(side)}
        save_file(state | {"decoder.transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4)}, folder / f"{side}.safetensors")
    return folder


def from_original(folder, exported, **options):
    tokenisers = {
        "encoder_tokeniser": str(exported / "encoder"),
        "decoder_tokeniser": str(exported / "decoder"),
    }
    return Origin(source=str(folder), **(tokenisers | options))


def assert_same_model(again, run):
    for name, tensor in run.method.state_dict().items():
        assert torch.equal(again.method.state_dict()[name], tensor), name
    assert again.sample(3, seed=5, max_tokens=20) == run.sample(3, seed=5, max_tokens=20)
    assert torch.equal(again.score(SENTENCES, samples=3).log_weights, run.score(SENTENCES, samples=3).log_weights)


# there and back


def test_an_imported_export_is_the_same_optimus(trained, exported, tmp_path):
    run = genera.load(trained, device="cpu")
    folder = import_run("optimus", tmp_path / "again", Origin(source=str(exported)))
    again = genera.load(folder.path, device="cpu")
    assert_same_model(again, run)  # the moving average, which is what a trained run is used with
    assert again.reconstruct(SENTENCES) == run.reconstruct(SENTENCES)
    assert again.config == run.config
    assert folder.status() == {"state": "done", "step": 0, "seconds": 0.0, "ranks": 1, "imported": str(exported)}


def test_an_imported_export_is_the_same_language_model(trained_lm, exported_lm, tmp_path):
    run = genera.load(trained_lm, device="cpu")
    import_run("gpt2-lm:nano", tmp_path / "again", Origin(source=str(exported_lm)))
    assert_same_model(genera.load(tmp_path / "again", device="cpu"), run)
    (exported_lm / "genera.json").rename(tmp_path / "genera.json")  # without which it is any GPT-2
    import_run("gpt2-lm", tmp_path / "plain", Origin(source=str(exported_lm)))
    (tmp_path / "genera.json").rename(exported_lm / "genera.json")
    assert_same_model(genera.load(tmp_path / "plain", device="cpu"), run)


def test_original_names_give_the_same_optimus(trained, original, exported, tmp_path):
    import_run("optimus:nano", tmp_path / "again", from_original(original, exported))
    again = genera.load(tmp_path / "again", device="cpu")
    assert again.method.latent_size == 8
    assert_same_model(again, genera.load(trained, device="cpu"))


def test_the_conversion_in_the_docs_makes_an_original_checkpoint(original, tmp_path, monkeypatch):
    state = load_file(original / "encoder.safetensors") | load_file(original / "decoder.safetensors")
    (tmp_path / "checkpoint-full").mkdir()
    saved = {"model_state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "iter": 3}
    torch.save(saved, tmp_path / "checkpoint-full/training.bin")
    monkeypatch.chdir(tmp_path)
    docs = (Path(__file__).parents[2] / "docs/share.md").read_text(encoding="utf-8")
    conversion, _ = re.findall(r"^```python\n(.*?)^```$", docs, re.M | re.S)
    exec(conversion, {})
    converted = load_file("original/model.safetensors")
    assert converted.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(converted[name], tensor)


# what transformers computes with it


def test_transformers_computes_the_same_posterior_and_likelihood(trained, exported):
    """BERT, the maps and GPT-2 put together by hand, with the memory as a cache before the tokens."""
    run = genera.load(trained, device="cpu")
    maps = load_file(exported / "latent.safetensors")
    reader = transformers.AutoTokenizer.from_pretrained(exported / "encoder")
    bert = transformers.BertModel.from_pretrained(exported / "encoder", add_pooling_layer=False).eval()
    writer = transformers.AutoTokenizer.from_pretrained(exported / "decoder")
    gpt2 = transformers.GPT2LMHeadModel.from_pretrained(exported / "decoder").eval()
    posterior = run.encode(SENTENCES)
    for row, sentence in enumerate(SENTENCES):
        with torch.no_grad():
            states = bert(**reader(sentence, return_tensors="pt")).last_hidden_state
            mean, log_variance = (maps["encoder.linear.weight"] @ states[0].mean(0)).chunk(2)
            memory = maps["decoder.transformer.linear.weight"] @ mean
            slots = memory.view(gpt2.config.n_layer, 1, gpt2.config.n_head, 1, -1)
            cache = transformers.DynamicCache()
            for layer, slot in enumerate(slots):
                cache.update(slot, slot, layer)
            ids = writer(sentence, return_tensors="pt").input_ids
            inputs = gpt2.transformer.wte(ids[:, :-1]) + maps["decoder.transformer.linear_emb.weight"] @ mean
            logits = gpt2(inputs_embeds=inputs, past_key_values=cache).logits
        assert_close(posterior.mean[row], mean)
        assert_close(posterior.log_variance[row], log_variance)
        theirs = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).sum()
        ours = run.method.score_given([sentence], posterior.mean[row : row + 1])[0]
        assert_close(ours, theirs.double(), rtol=1e-4, atol=1e-4)


def test_transformers_computes_the_same_likelihood_of_a_language_model(trained_lm, exported_lm):
    run = genera.load(trained_lm, device="cpu")
    gpt2 = transformers.GPT2LMHeadModel.from_pretrained(exported_lm).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported_lm)
    assert gpt2.config.eos_token_id == tokenizer.eos_token_id == run.method.tokeniser.eos
    for sentence, ours in zip(SENTENCES, run.score(SENTENCES).log_likelihood[0], strict=True):
        ids = tokenizer(sentence, return_tensors="pt").input_ids
        with torch.no_grad():
            theirs = -gpt2(ids, labels=ids).loss * (ids.shape[1] - 1)
        assert_close(ours, theirs.double(), rtol=1e-4, atol=1e-4)


# the card


def test_the_card_states_data_settings_measures_and_limits(trained, exported, tmp_path):
    card = (exported / "README.md").read_text()
    assert "Trained on `world:captions-small`: texts of at most 40 words and 100 tokens, the first 2,000" in card
    assert "| latent_size | 8 |" in card
    assert "| steps | 100 |" in card
    assert "`genera evaluate RUN` evaluates it" in card
    assert "because it was not evaluated" in card

    measured = shutil.copytree(trained, tmp_path / "run")
    run = genera.load(measured, device="cpu", checkpoint="50")
    whole = genera.load(measured, device="cpu")
    stored = genera.evaluate(whole, measures=("likelihood",), likelihood={"items": 8, "samples": 12})
    card = (export_run(run, tmp_path / "out") / "README.md").read_text()
    kl = next(figure for figure in stored.figures if figure.measure == "kl")
    assert f"| {kl.value:.4g} ± {kl.error:.2g} | nats/item | 8 |" in card
    assert "On the test split of `world:captions-small`, at step 100, with likelihood (items 8, samples 12)." in card
    assert "The measures are from step 100, but these weights are from step 50." in card
    for finding in stored.diagnosis:
        assert (f"- {finding['finding']}" in card) == (finding["level"] == "warning")

    again = import_run("optimus", tmp_path / "again", Origin(source=str(tmp_path / "out")))
    card = (export_run(genera.load(again.path, device="cpu"), tmp_path / "more") / "README.md").read_text()
    assert f"imported from `{tmp_path / 'out'}`" in card


# what is refused


def test_every_tensor_that_does_not_fit_is_listed(spoiled, tmp_path):
    encoder = load_file(spoiled / "encoder/model.safetensors")
    encoder["encoder.layer.0.output.dense.bias"] = torch.zeros(7)
    save_file(encoder, spoiled / "encoder/model.safetensors")
    decoder = load_file(spoiled / "decoder/model.safetensors")
    decoder["transformer.h.9.ln_1.bias"] = torch.zeros(64)
    save_file(decoder, spoiled / "decoder/model.safetensors")
    maps = load_file(spoiled / "latent.safetensors")
    del maps["decoder.transformer.linear.weight"]
    save_file(maps, spoiled / "latent.safetensors")
    with pytest.raises(GeneraError) as error:
        import_run("optimus", tmp_path / "run", Origin(source=str(spoiled)))
    for part in (
        "encoder.encoder.layer.0.output.dense.bias is (7,) instead of (64,)",
        "decoder.transformer.h.9.ln_1.bias is unknown",
        "decoder.transformer.linear.weight is missing",
    ):
        assert part in str(error.value)
    assert not (tmp_path / "run").exists()


def test_the_sizes_of_an_original_checkpoint_are_read_from_its_tensors(trained, original, exported, tmp_path):
    """By the preset of the published model, which is larger."""
    import_run("optimus", tmp_path / "again", from_original(original, exported, heads=4))
    again, run = genera.load(tmp_path / "again", device="cpu"), genera.load(trained, device="cpu")
    for side in ("encoder", "decoder"):
        ours, theirs = (getattr(model.method.network, side) for model in (run, again))
        for field in ("layers", "hidden", "heads", "feed_forward", "positions", "vocabulary"):
            assert getattr(theirs.size, field) == getattr(ours.size, field), field
        state = theirs.state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in ours.state_dict().items())
    parts = {"encoder": str(exported / "encoder"), "decoder": str(exported / "decoder")}
    with pytest.raises(GeneraError, match="leave --heads out"):
        import_run("optimus", tmp_path / "parts", Origin(**parts, heads=4))


def test_a_long_list_of_tensors_is_cut(original, exported, tmp_path):
    folder = shutil.copytree(original, tmp_path / "original")
    state = load_file(folder / "decoder.safetensors")
    state |= {f"decoder.head.{i}": torch.zeros(2) for i in range(200)}
    save_file(state, folder / "decoder.safetensors")
    with pytest.raises(GeneraError, match=r"is unknown; and 180 more tensors\.") as error:
        import_run("optimus:nano", tmp_path / "run", from_original(folder, exported))
    assert str(error.value).count("unknown") == 20


def test_every_original_tensor_that_does_not_fit_is_listed(original, exported, tmp_path):
    folder = shutil.copytree(original, tmp_path / "original")
    state = load_file(folder / "decoder.safetensors")
    del state["decoder.transformer.wpe.weight"]
    state["decoder.transformer.linear_emb.weight"] = torch.zeros(64, 9)
    state["decoder.classifier.weight"] = torch.zeros(2)
    save_file(state, folder / "decoder.safetensors")
    with pytest.raises(GeneraError) as error:
        import_run("optimus:nano", tmp_path / "run", from_original(folder, exported))
    for part in (
        "decoder.transformer.wpe.weight is missing",
        "decoder.transformer.linear_emb.weight is (64, 9) instead of (64, 8)",
        "decoder.classifier.weight is unknown",
    ):
        assert part in str(error.value)


def test_pickles_are_refused_with_a_way_out(spoiled, tmp_path):
    for folder in (spoiled / "encoder", spoiled / "decoder"):
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    parts = Origin(encoder=str(spoiled / "encoder"), decoder=str(spoiled / "decoder"))
    for origin in (Origin(source=str(spoiled)), parts):
        with pytest.raises(GeneraError, match=r"only pytorch_model\.bin, a pickle.*convert it to model\.safetensors"):
            import_run("optimus", tmp_path / "run", origin)
    (tmp_path / "original").mkdir()
    with pytest.raises(GeneraError, match=r"has no \.safetensors file; give a folder"):
        import_run("optimus", tmp_path / "run", Origin(source=str(tmp_path / "original")))
    (tmp_path / "original/training.bin").write_bytes(b"")
    with pytest.raises(GeneraError, match=r"only training\.bin: pickles.*convert them to \.safetensors"):
        import_run("optimus", tmp_path / "run", Origin(source=str(tmp_path / "original")))


def test_both_parts_are_checked_at_once(exported, tmp_path):
    folders = {}
    for side in ("encoder", "decoder"):
        folders[side] = str(shutil.copytree(exported / side, tmp_path / side))
        state = load_file(tmp_path / side / "model.safetensors")
        save_file(dict(list(state.items())[1:]), tmp_path / side / "model.safetensors")
    with pytest.raises(GeneraError, match=r"encoder do not fit .* is missing.*decoder do not fit .* is missing"):
        import_run("optimus:nano", tmp_path / "run", Origin(**folders))


def test_damage_is_named(original, exported, spoiled, tmp_path):
    for folder, file, origin in (
        (spoiled, "latent.safetensors", Origin(source=str(spoiled))),
        (tmp_path / "o", "decoder.safetensors", from_original(tmp_path / "o", exported)),
    ):
        if not folder.exists():
            shutil.copytree(original, folder)
        (folder / file).write_bytes((folder / file).read_bytes()[:300])
        with pytest.raises(GeneraError, match=f"{file} is damaged"):
            import_run("optimus:nano", tmp_path / "run", origin)
    (spoiled / "latent.safetensors").unlink()
    with pytest.raises(GeneraError, match=r"latent\.safetensors is missing; fetch it again"):
        import_run("optimus", tmp_path / "run", Origin(source=str(spoiled)))


def test_a_config_that_contradicts_the_settings_is_refused(spoiled, exported_lm, tmp_path):
    path = spoiled / "decoder/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n_head": 8}))
    with pytest.raises(GeneraError, match=r"heads=8.*genera\.json beside it says .*heads=4"):
        import_run("optimus", tmp_path / "run", Origin(source=str(spoiled)))


@pytest.mark.parametrize(
    ("spec", "given", "named"),
    [
        ("optimus", {}, "needs --encoder BERT and --decoder GPT2, or a source"),
        ("optimus", {"encoder": "EXPORT/encoder"}, "needs --decoder GPT2"),
        ("optimus", {"source": "EXPORT/encoder"}, "holds a bert alone; give --encoder BERT and --decoder GPT2"),
        ("optimus", {"source": "EXPORT", "latent_size": 3}, "was exported whole; leave --latent-size out"),
        ("optimus:small", {"source": "EXPORT"}, "is an export of optimus:nano, not of optimus:small"),
        ("gpt2-lm", {"source": "EXPORT"}, "is an export of optimus:nano, not of gpt2-lm"),
        ("gpt2-lm", {}, "needs a GPT-2 or Llama as its source"),
        ("gpt2-lm", {"decoder": "EXPORT/decoder"}, "is one model, named as the source; leave --decoder out"),
        ("gpt2-lm", {"source": "EXPORT/encoder"}, "model_type 'bert'; expected 'gpt2'"),
        ("small-gan", {"source": "EXPORT"}, "small-gan cannot be imported; methods that can: gpt2-lm, lm, optimus"),
        ("optimus", {"source": "someone/nothing"}, "not a folder and could not be downloaded from the hub"),
        ("optimus", {"encoder": "someone/nothing", "decoder": "EXPORT/decoder"}, "someone/nothing is not a folder"),
        ("optimsu", {}, "did you mean optimus?"),
    ],
)
def test_origins_that_make_no_model(exported, tmp_path, monkeypatch, spec, given, named):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    given = {k: v.replace("EXPORT", str(exported)) if isinstance(v, str) else v for k, v in given.items()}
    with pytest.raises(GeneraError) as error:
        import_run(spec, tmp_path / "run", Origin(**given))
    assert named in str(error.value)
    assert not (tmp_path / "run").exists()


def test_what_is_there_stays(trained, exported, tmp_path):
    with pytest.raises(GeneraError, match="already holds a run; choose another --out"):
        import_run("optimus", trained, Origin(source=str(exported)))
    with pytest.raises(GeneraError, match="already exists; choose another --out"):
        export_run(genera.load(trained, device="cpu"), exported)
    original = Origin(source=str(tmp_path), encoder_tokeniser="x")
    save_file({"encoder.linear.weight": torch.zeros(16, 64)}, tmp_path / "some.safetensors")
    with pytest.raises(GeneraError, match="bring no tokenisers; give --encoder-tokeniser and --decoder-tokeniser"):
        import_run("optimus:nano", tmp_path / "run", original)
