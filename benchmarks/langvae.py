"""Optimus with both parts frozen against LangVAE, its one maintained peer, in an environment of its own.

    python -m venv PEER && PEER/bin/pip install torch langvae
    python -m benchmarks.langvae --peer PEER/bin/python --texts FILE --models DIR [--minutes 3] [--batch 16]

Both train on the same lines of FILE, with the same MiniLM and SmolLM2 (`minilm` and `smollm2-135m` in DIR), latent
size, batch, learning rate, minutes and one thread. LangVAE (GPL 3, transformers pinned to 4.48) is run as it is, with
its own model, loss, collation and schedule of beta; only the loop is here, as its trainer counts epochs. For each side:
steps, target tokens a second, seconds besides training (loading, encoding the corpus once, compiling, reconstructing),
peak memory, the KL of held-out sentences, and BLEU and exact reconstructions of them.

This file also runs in LangVAE's environment, which has no genera.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

HELD_OUT, LATENT, LENGTH, RATE = 200, 64, 24, 1e-3
"""sentences to reconstruct; dimensions of z; tokens of a sentence at most; learning rate"""


def main(words: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="python of an environment with langvae")
    parser.add_argument("--texts", type=Path, help="a text file, one sentence a line")
    parser.add_argument("--models", type=Path, help="folder with minilm and smollm2-135m")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args(words)
    if not (options.peer and options.texts and options.models):
        print("needs --peer, --texts and --models: python -m benchmarks.langvae --help")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lines = [line.strip() for line in options.texts.read_text(encoding="utf-8").splitlines()]
        lines = [line for line in lines if 0 < len(line.split()) <= 16]
        (folder / "test.txt").write_text("\n".join(lines[:HELD_OUT]))
        (folder / "train.txt").write_text("\n".join(lines[HELD_OUT:]))
        for name in ("minilm", "smollm2-135m"):
            for_old_transformers(options.models / name, folder / name)
        settings = {"folder": str(folder), "minutes": options.minutes, "batch": options.batch}
        theirs = side_of(options.peer, "--as-peer", settings)
        ours = {
            "genera, a slot a position": optimus(options, folder, slots=LENGTH, trimmed=False),
            "genera, 8 slots, trimmed": optimus(options, folder, slots=8, trimmed=True),
        }
        show({"LangVAE": theirs, **ours}, lines[:HELD_OUT])


def side_of(python: str, side: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Train in a process of its own, so that its memory is its own. -P: this file is named as the peer's package."""
    begin, words = time.perf_counter(), [python, "-P", __file__, side, json.dumps(settings)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GENERA_CACHE": f"{settings['folder']}/cache"}
    run = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures | {"besides, s": time.perf_counter() - begin - 60 * settings["minutes"]}


def show(sides: dict[str, dict[str, Any]], sentences: list[str]) -> None:
    from genera.measures.text import corpus_bleu

    columns = ("steps", "tokens a second", "besides, s", "peak MiB", "KL")
    print(f"{'':28}{''.join(f'{name:>16}' for name in columns)}{'BLEU':>16}{'exact %':>16}")
    for name, side in sides.items():
        written = side.pop("written")
        exact = 100 * sum(a == b for a, b in zip(written, sentences, strict=True)) / len(sentences)
        bleu = corpus_bleu(written, sentences)
        figures = [*(side[column] for column in columns), bleu, exact]
        print(f"{name:28}{''.join(f'{figure:16,.1f}' for figure in figures)}")
        for sentence, text in zip(sentences[:3], written, strict=False):
            print(f"    {sentence!r} → {text!r}")


# genera


def optimus(options: argparse.Namespace, folder: Path, *, slots: int, trimmed: bool) -> dict[str, Any]:
    settings = {"folder": str(folder), "models": str(options.models), "minutes": options.minutes}
    return side_of(
        sys.executable, "--as-genera", {**settings, "batch": options.batch, "slots": slots, "trimmed": trimmed}
    )


def as_genera(settings: dict[str, Any]) -> dict[str, Any]:
    import torch

    import genera

    torch.set_num_threads(1)
    folder, models = Path(settings["folder"]), Path(settings["models"])
    corpus = f"text:{folder}/train.txt"
    start = folder / f"start-{settings['slots']}"
    genera.import_run(
        "optimus:minilm",
        start,
        genera.Origin(
            encoder=str(models / "minilm"),
            decoder=str(models / "smollm2-135m"),
            trim_vocabulary=corpus if settings["trimmed"] else None,
        ),
    )
    config = genera.load(start).config
    model = replace(
        config.model, freeze=("encoder", "decoder"), latent_size=LATENT, memory_slots=settings["slots"], warmup=0,
        memory_positions="none", lr=RATE, schedule="constant", latent_init=0.02, free_bits=2.0 / LATENT,
        pretrained_encoder=str(models / "minilm"), pretrained_decoder=str(models / "smollm2-135m"),
    )  # fmt: skip
    data = replace(config.data, data=corpus, max_tokens=LENGTH)
    train = replace(
        config.train, minutes=settings["minutes"], steps=None, epochs=None, batch_size=settings["batch"],
        validate_every=0, log_every=10, device="cpu", checkpoint_every=100_000,
    )  # fmt: skip
    run = genera.load(
        genera.train(replace(config, model=model, data=data, train=train), folder / f"run-{start.name}").path
    )
    lines = (folder / "test.txt").read_text().splitlines()
    posterior = run.encode(lines)
    kl = 0.5 * (posterior.mean.square() + posterior.log_variance.exp() - posterior.log_variance - 1).sum(1).mean()
    tokens = sum(len(ids) - 1 for ids in run.method.assets.decoder.encode_batch(lines)) / len(lines)
    rate = run.folder.metrics()[-1]["items_per_second"]
    return {
        "steps": run.step,
        "tokens a second": rate * tokens,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "KL": float(kl),
        "written": run.decode(posterior.mean, max_tokens=LENGTH),
    }


# LangVAE


def for_old_transformers(folder: Path, out: Path) -> None:
    """The same weights under configs that transformers 4.48 reads: it ignores rope_parameters, and in float32."""
    out.mkdir()
    for file in folder.iterdir():
        if file.suffix in (".safetensors", ".txt") or file.name == "tokenizer.json":
            (out / file.name).symlink_to(file.resolve())
    config = json.loads((folder / "config.json").read_text())
    config |= {"torch_dtype": "float32", "rope_theta": config.get("rope_parameters", {}).get("rope_theta")}
    (out / "config.json").write_text(json.dumps({name: v for name, v in config.items() if name != "rope_parameters"}))
    tokeniser = json.loads((folder / "tokenizer_config.json").read_text())
    (out / "tokenizer_config.json").write_text(json.dumps(tokeniser | {"tokenizer_class": "PreTrainedTokenizerFast"}))


def as_peer(settings: dict[str, Any]) -> dict[str, Any]:
    import torch
    from langvae.data_conversion.tokenization import TokenizedDataSet, collate_sparse_fn
    from langvae.decoders import SentenceDecoder
    from langvae.encoders import SentenceEncoder
    from langvae.trainers.cyclical_schedule_kl import frange_cycle_zero_linear
    from pythae.models.vae import VAEConfig
    from torch.utils.data import DataLoader

    from langvae import LangVAE

    torch.set_num_threads(1)
    torch.manual_seed(42)
    folder = Path(settings["folder"])
    decoder = SentenceDecoder(str(folder / "smollm2-135m"), LATENT, LENGTH)
    encoder = SentenceEncoder(str(folder / "minilm"), LATENT, decoder.tokenizer, caching=True)
    model = LangVAE(VAEConfig(latent_dim=LATENT), encoder, decoder)
    lines = (folder / "train.txt").read_text().splitlines()
    data = TokenizedDataSet(lines, decoder.tokenizer, LENGTH)
    loader = DataLoader(data, settings["batch"], shuffle=True, drop_last=True, collate_fn=collate_sparse_fn)
    model(next(iter(loader)))  # which gives its lazy layers their sizes
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    betas = frange_cycle_zero_linear(1000, n_cycle=1)
    begin, limit, steps, tokens = time.perf_counter(), 60 * settings["minutes"], 0, 0
    while (spent := time.perf_counter() - begin) < limit:
        for batch in loader:
            model.cur_beta = float(betas[min(999, int(1000 * spent / limit))])
            loss = model(batch).loss
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            steps, tokens = steps + 1, tokens + int(batch["attention_mask"].sum())
            if (spent := time.perf_counter() - begin) >= limit:
                break
    model.eval()
    written, divergence = [], 0.0
    test = TokenizedDataSet((folder / "test.txt").read_text().splitlines(), decoder.tokenizer, LENGTH)
    with torch.no_grad():
        for batch in DataLoader(test, 20, collate_fn=collate_sparse_fn):
            q = model.encoder(batch["data"])
            divergence += float((0.5 * (q.embedding**2 + q.log_covariance.exp() - q.log_covariance - 1)).sum())
            written += model.decode_sentences(q.embedding)
    return {
        "steps": steps,
        "tokens a second": tokens / spent,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "KL": divergence / len(written),
        "written": [text.strip() for text in written],
    }


if __name__ == "__main__":
    if sys.argv[1:2] in (["--as-peer"], ["--as-genera"]):
        side = as_peer if sys.argv[1] == "--as-peer" else as_genera
        print(json.dumps(side(json.loads(sys.argv[2]))))
    else:
        main(sys.argv[1:])
