"""Sentences from latents: rows together through a cache, against the way of the original code of Optimus.

    python -m benchmarks.prefix_decoding

The original samples one latent at a time and runs the whole prefix again for every token; it is timed on rows as long
as all are, and its time scaled to all. Both draw the same ids from the same random numbers. Lengths vary around 15
tokens, as of captions, or all rows go on to the last. CPU time, as other processes then count less. Target: 20.
"""

import math
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from genera.blocks.decoder import Decoder
from genera.blocks.decoding import choose, generate
from genera.blocks.decoding_options import Decoding
from genera.blocks.size import TransformerSize

ROWS, TIMED, TOKENS, MEAN_LENGTH, ROUNDS = 256, 12, 64, 15, 3
PAD, BOS, EOS = 0, 1, 2
HOW = Decoding(temperature=1.0, max_tokens=TOKENS)
SIZES = {
    "2 x 64, 1k words": TransformerSize(
        layers=2, hidden=64, heads=4, feed_forward=256, vocabulary=1_000, positions=128
    ),
    "6 x 384, 10k words": TransformerSize(
        layers=6, hidden=384, heads=6, feed_forward=1536, vocabulary=10_000, positions=128
    ),
}


def grounded(size: TransformerSize, *, ends: bool) -> tuple[Decoder, Tensor, Tensor]:
    """A random decoder, and memories and embeddings of as many latents. ends: EOS has probability
    1/MEAN_LENGTH everywhere; else it hardly comes."""
    torch.manual_seed(0)
    model = Decoder(size).eval()
    memory = torch.randn(ROWS, size.layers, size.heads, 1, size.hidden // size.heads)
    embedding = torch.randn(ROWS, size.hidden)
    with torch.no_grad():
        model.norm.bias.normal_()
        # The last norm's bias adds one constant to the logit of EOS, and nearly nothing to the others.
        odds = math.log((size.vocabulary - 1) / (MEAN_LENGTH - 1)) if ends else -20.0
        model.tokens.weight[EOS] = odds * model.norm.bias / model.norm.bias.square().sum()
    return model, memory, embedding


@torch.inference_mode()
def original(rows: Tensor, model: Decoder, memory: Tensor, embedding: Tensor) -> Tensor:
    """These rows one by one, the whole prefix for every token."""
    written = torch.full((len(rows), TOKENS), PAD)
    uniform = torch.rand(len(memory), TOKENS, generator=torch.Generator().manual_seed(1))
    for place, row in enumerate(rows.split(1)):
        ids = torch.tensor([[BOS]])
        for token in range(TOKENS):
            states = model(ids, memory=memory[row], embedding=embedding[row])
            logits = model.logits(states[:, -1])
            logits[:, PAD] = -torch.inf
            chosen = choose(logits, HOW, uniform[row, token])
            written[place, token] = chosen
            ids = torch.cat((ids, chosen[:, None]), 1)
            if chosen == EOS:
                break
    return written


def ours(model: Decoder, memory: Tensor, embedding: Tensor) -> Tensor:
    start = torch.full((len(memory), 1), BOS)
    generator = torch.Generator().manual_seed(1)
    return generate(
        model, start=start, decoding=HOW, end=EOS, pad=PAD, forbid=(PAD,), generator=generator,
        memory=memory, embedding=embedding,
    )  # fmt: skip


def seconds(action: Callable[..., object], *given: object) -> float:
    before = time.process_time()
    action(*given)
    return time.process_time() - before


def main() -> None:
    torch.set_num_threads(1)
    print(f"{ROWS} latents, at most {TOKENS} tokens, sampled, one thread, CPU time, {ROUNDS} rounds")
    print(f"{'model':<22}{'lengths':<22}{'original s':>12}{'genera s':>10}{'ratio':>8}")
    for name, size in SIZES.items():
        for ends in (True, False):
            given = grounded(size, ends=ends)
            written = ours(*given)
            lengths = (written != PAD).sum(1)
            rows = lengths.argsort()[ROWS // (2 * TIMED) :: ROWS // TIMED][:TIMED]  # as long as all are
            same = written[rows] == original(rows, *given)[:, : written.shape[1]]
            assert same.all(), "the two must write the same"
            scale = ROWS / TIMED
            times = [(scale * seconds(original, rows, *given), seconds(ours, *given)) for _ in range(ROUNDS)]
            peer, own = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(a / b for a, b in times)
            print(
                f"{name:<22}{f'{lengths.float().mean():.0f} on average':<22}{peer:>12.2f}{own:>10.3f}{ratio:>8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
