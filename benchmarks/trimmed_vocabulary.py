"""A training step of a decoder with the tokens of a corpus against one with its whole vocabulary.

    python -m benchmarks.trimmed_vocabulary

SmolLM2's layout (width 576, 49,152 tokens), its first layers, weights drawn; a batch of 32 texts of 14 tokens, AdamW,
one thread. Trimmed to 10,500 tokens, those of Yelp's reviews. Both sides take turns; the ratio is the median of rounds.
"""

import statistics
import time

import torch

from genera.blocks.decoder import Decoder
from genera.blocks.likelihood import sequence_log_likelihood
from genera.blocks.size import DecoderShape

WHOLE, TRIMMED, ROUNDS = 49_152, 10_500, 3


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'layers':>6}{'whole, s':>10}{'trimmed, s':>12}{'faster':>8}{'weights, M':>20}")
    for layers in (4, 12, 30):
        steps = {vocabulary: _Step(layers, vocabulary) for vocabulary in (WHOLE, TRIMMED)}
        for step in steps.values():
            step()  # allocations
        times = [{vocabulary: step() for vocabulary, step in steps.items()} for _ in range(ROUNDS)]
        whole, trimmed = (statistics.median(turn[vocabulary] for turn in times) for vocabulary in (WHOLE, TRIMMED))
        ratio = statistics.median(turn[WHOLE] / turn[TRIMMED] for turn in times)
        sizes = " → ".join(f"{step.weights / 1e6:.1f}" for step in steps.values())
        print(f"{layers:6}{whole:10.2f}{trimmed:12.2f}{ratio:7.2f}×{sizes:>20}")


class _Step:
    """One training step; a call returns its seconds of CPU time."""

    def __init__(self, layers: int, vocabulary: int) -> None:
        shape = DecoderShape(
            layers=layers, hidden=576, heads=9, feed_forward=1536, positions=128, layout="llama", key_value_heads=3,
            rotary_base=100_000.0, tied=True,
        )  # fmt: skip
        self.model = Decoder(shape.sized(vocabulary))
        self.weights = sum(parameter.numel() for parameter in self.model.parameters())
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.ids = torch.randint(vocabulary, (32, 15), generator=torch.Generator().manual_seed(0))

    def __call__(self) -> float:
        begin = time.process_time()
        states = self.model(self.ids[:, :-1])
        loss = -sequence_log_likelihood(states, self.model.output, self.ids[:, 1:]).mean()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return time.process_time() - begin


if __name__ == "__main__":
    main()
