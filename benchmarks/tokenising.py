"""Tokens a second of a large corpus written in shards, against the tokenizer alone; and memory as the corpus grows.

    python -m benchmarks.tokenising

Captions with a BPE vocabulary of 8,000, in a plain file. Floor: `tokenizers` alone on the same texts in memory, without
reading, counting or writing. CPU time of one process; the ratio is that of the least times. Then the share of the peak
memory that depends on the corpus, for a file and one four times as large, each in a process of its own.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from benchmarks.text_batches import empty_cache

import genera
from genera.console import console
from genera.data.text import tokenising
from genera.data.text.corpus import DecoderCorpus
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.worlds import load

SENTENCES, REPEATED, ROUNDS, SHARD, AT_ONCE = 10_000, 8, 3, 1 << 20, 4096


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def tokenise(file: Path, tokenisers: Tokenisers, workers: int = 1) -> dict[str, float]:
    """Tokenises `file` into an empty cache: tokens, CPU seconds, wall seconds and growth of the peak memory."""
    config = genera.configure("gpt2-lm:nano", data=f"text:{file}").data
    before, cpu, wall = peak(), time.process_time(), time.perf_counter()
    with empty_cache():
        result = DecoderCorpus.tokenise(config, tokenisers, workers=workers)
        tokens = sum(json.loads((Path(result["folder"]) / tokenising.ABOUT).read_text())["tokens"].values())
    return {
        "tokens": tokens,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - wall,
        "before": before,
        "peak": peak(),
        "shards": result["shards"],
    }


def alone(file: Path, folder: Path) -> dict[str, float]:
    """In a process of its own, since the system only tells the highest peak."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tokenising", str(file), str(folder)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    console.quiet = True
    tokenising.SHARD = SHARD
    sentences = REPEATED * load("captions-small").sentences(SENTENCES)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        small, large = folder / "small.txt", folder / "large.txt"
        small.write_text("\n".join(sentences) + "\n")
        large.write_text(4 * ("\n".join(sentences) + "\n"))
        tokeniser = Tokeniser.train("bpe", lambda: islice(sentences, 20_000), 8000)
        tokenisers = Tokenisers(None, tokeniser)
        tokenisers.save(folder / "tokenisers")
        floors, ours = [], []
        for _ in range(ROUNDS):
            before = time.process_time()
            for first in range(0, len(sentences), AT_ONCE):
                tokeniser._tokenizer.encode_batch_fast(sentences[first : first + AT_ONCE], add_special_tokens=False)
            floors.append(time.process_time() - before)
            ours.append(tokenise(small, tokenisers))
        floor, own = min(floors), min(ours, key=lambda one: one["cpu"])
        rate = own["tokens"] / own["cpu"]
        print(f"{small.stat().st_size / 2**20:.0f} MB, {own['tokens']:,} tokens, {own['shards']} shards")
        print(f"tokenizer alone {own['tokens'] / floor:,.0f} tokens/s")
        print(f"genera {rate:,.0f} tokens/s: {own['cpu'] / floor:.2f} x the time of the tokenizer alone")
        two = tokenise(small, tokenisers, workers=2)
        print(f"wall time: 1 process {own['wall']:.1f} s, 2 processes {two['wall']:.1f} s with their start")
        for file in (small, large):
            result = alone(file, folder / "tokenisers")
            before, after = (result[name] / 2**20 for name in ("before", "peak"))
            print(f"{file.stat().st_size / 2**20:.0f} MB of text: peak {before:.0f} MB before, {after:.0f} MB after")


if __name__ == "__main__":
    if sys.argv[1:]:
        console.quiet = True
        tokenising.SHARD = SHARD
        print(json.dumps(tokenise(Path(sys.argv[1]), Tokenisers.load(sys.argv[2]))))
    else:
        main()
