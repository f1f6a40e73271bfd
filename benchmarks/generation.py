"""Generation with a cache, batch 32: ours against `generate` of transformers on the same weights.

    python -m benchmarks.generation

Both run in turn, round by round, on the same threads; the ratio is the median over the rounds. Target: 2.
"""

import math
import statistics
import time
from collections.abc import Callable

import torch
import transformers

from genera.blocks.decoder import Decoder
from genera.blocks.decoding import generate
from genera.blocks.decoding_options import Decoding
from genera.blocks.pretrained import export_weights
from genera.blocks.size import TransformerSize

BATCH, TOKENS, MEAN_LENGTH, ROUNDS = 32, 64, 15, 7
START, END, PAD = 1, 2, 0
SIZES = {
    "2 x 64, 1k words": TransformerSize(
        layers=2, hidden=64, heads=4, feed_forward=256, vocabulary=1_000, positions=128
    ),
    "6 x 384, 10k words": TransformerSize(
        layers=6, hidden=384, heads=6, feed_forward=1536, vocabulary=10_000, positions=128
    ),
    "6 x 384, GPT-2's tokens": TransformerSize(
        layers=6, hidden=384, heads=6, feed_forward=1536, vocabulary=50_260, positions=128
    ),
}


def models(size: TransformerSize, *, ends: bool) -> tuple[Decoder, transformers.GPT2LMHeadModel]:
    """The same random decoder twice. ends: END has probability 1/MEAN_LENGTH everywhere; else it hardly comes."""
    torch.manual_seed(0)
    ours = Decoder(size).eval()
    if ends:
        with torch.no_grad():
            # The last LayerNorm's bias adds one constant to the logit of END, and nearly nothing to the others.
            ours.norm.bias.normal_()
            odds = math.log((size.vocabulary - 1) / (MEAN_LENGTH - 1))
            ours.tokens.weight[END] = odds * ours.norm.bias / ours.norm.bias.square().sum()
    config = transformers.GPT2Config(
        vocab_size=size.vocabulary, n_embd=size.hidden, n_layer=size.layers, n_head=size.heads,
        n_inner=size.feed_forward, n_positions=size.positions, bos_token_id=START, eos_token_id=END, pad_token_id=PAD,
    )  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config).eval()
    theirs.transformer.load_state_dict(export_weights(ours))
    return ours, theirs


def seconds(action: Callable[[], object]) -> float:
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def main() -> None:
    transformers.logging.set_verbosity_error()
    start = torch.full((BATCH, 1), START)
    print(f"{BATCH} rows, at most {TOKENS} tokens, {torch.get_num_threads()} threads, {ROUNDS} rounds")
    print(f"{'model':<25}{'decoding':<28}{'transformers s':>15}{'genera s':>10}{'ratio':>7}")
    for name, size in SIZES.items():
        for mode in ("greedy", "sampled", "sampled, lengths vary"):
            ours, theirs = models(size, ends=mode.endswith("vary"))
            decoding = Decoding(temperature=float(mode != "greedy"), max_tokens=TOKENS)
            options = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
            options = options if mode != "greedy" else {"do_sample": False}

            def run_ours(model=ours, decoding=decoding) -> torch.Tensor:
                return generate(model, start=start, decoding=decoding, end=END, pad=PAD)

            def run_theirs(model=theirs, options=options) -> torch.Tensor:
                whole = model.generate(start, attention_mask=torch.ones_like(start), max_new_tokens=TOKENS, **options)
                return whole[:, 1:]

            if mode == "greedy":
                assert torch.equal(run_ours(), run_theirs()), "the two must say the same"
            run_ours(), run_theirs()
            times = [(seconds(run_theirs), seconds(run_ours)) for _ in range(ROUNDS)]
            peer, own = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(peer / own for peer, own in times)
            print(f"{name:<25}{mode:<28}{peer:>15.3f}{own:>10.3f}{ratio:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
