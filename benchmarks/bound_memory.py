"""Peak memory of the importance-weighted bound through a Llama decoder of SmolLM2's size, as K grows.

    GENERA_MODELS=DIR python -m benchmarks.bound_memory

DIR holds the tokenisers of `minilm` and `smollm2-135m`; the weights are random. Sentences of about 24 tokens, each case
in a process of its own. Beside the growth of the peak memory: what the logits of all samples alone would take.
"""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

import genera
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.errors import GeneraError
from genera.methods.optimus.method import Optimus
from genera.worlds import load

SENTENCES, TOKENS, CASES = 4, 24, (1, 10, 100)


def measure(folder: Path, samples: int) -> dict[str, float]:
    encoder, decoder = Tokeniser.load(folder / "minilm", "wordpiece"), Tokeniser.load(folder / "smollm2-135m", "bpe")
    smollm2 = genera.configure("lm:smollm2-135m").model.decoder
    config = replace(genera.configure("optimus:minilm").model, decoder=smollm2, freeze=())
    method = Optimus(config, Tokenisers(encoder, decoder)).eval()
    sentences = load("captions").sentences(2000)
    longest = sorted(sentences, key=lambda text: abs(len(decoder.encode_batch([text])[0]) - TOKENS))[:SENTENCES]
    before, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    score = method.score(longest, samples, generator=torch.Generator().manual_seed(0))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    tokens = int(score.lengths["tokens"].sum())
    return {
        "grown": 1024 * grown,
        "seconds": time.process_time() - cpu,
        "logits": 4 * samples * tokens * decoder.size,
    }


def main() -> None:
    if "GENERA_MODELS" not in os.environ:
        raise GeneraError("set GENERA_MODELS to a folder with minilm and smollm2-135m.")
    print(f"{SENTENCES} sentences of {TOKENS} tokens, one thread")
    print(f"{'K':>5}{'CPU s':>9}{'peak grows MB':>15}{'all logits MB':>15}")
    for samples in CASES:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bound_memory", str(samples)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        result = json.loads(done.stdout.splitlines()[-1])
        grown, logits = result["grown"] / 2**20, result["logits"] / 2**20
        print(f"{samples:>5}{result['seconds']:>9.1f}{grown:>15,.0f}{logits:>15,.0f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measure(Path(os.environ["GENERA_MODELS"]), int(sys.argv[1]))))
    else:
        main()
