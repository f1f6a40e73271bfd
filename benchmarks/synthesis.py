"""Synthesis of instructions: many paths at once through the decoder's state, against one by one without it.

Both write the same greedy instructions of 30 words, as long as R2R's, with random weights: the sizes count, not what is
learnt. The peer reads a path once, and everything written so far anew for each word, as a decoder without a cache must.
"""

import statistics
import time

import numpy as np
import torch

from genera.blocks.decoding_options import Decoding
from genera.data.vocabularies.words import EOS, PAD, UNK
from genera.methods.prevalent.speaker.config import SpeakerConfig
from genera.methods.prevalent.speaker.inference import describe, observe_paths
from genera.methods.prevalent.speaker.network import Speaker
from genera.methods.prevalent.speaker.training import build_speaker
from genera.navigation.config import NavigationConfig
from genera.navigation.dataset import NavigationData
from genera.navigation.graphs import enumerate_paths
from genera.navigation.simulator import views_along

WORDS, ROUNDS, ALONE, TOGETHER = 30, 3, 4, 256


@torch.inference_mode()
def step_by_step(speaker: Speaker, data: NavigationData, nodes: torch.Tensor, views: torch.Tensor) -> list[str]:
    """One path after the other, everything anew for each word."""
    vocabulary, texts = data.assets.words, []
    for row in range(len(nodes)):
        encoded = speaker.read(*observe_paths(data.town, nodes[row : row + 1], views[row : row + 1]))
        ids = [vocabulary.bos]
        while len(ids) <= WORDS and ids[-1] != EOS:
            logits = speaker.decoder(torch.tensor([ids]), encoded)[0][0, -1]
            logits[[PAD, UNK, vocabulary.bos, *([EOS] if len(ids) == 1 else [])]] = -torch.inf
            ids.append(int(logits.argmax()))
        texts += vocabulary.decode_batch(np.array([ids[1:]]))
    return texts


def compare(name: str, config: SpeakerConfig, sizes: NavigationConfig) -> None:
    data = NavigationData.open(sizes)
    torch.manual_seed(0)
    speaker = build_speaker(config, data.assets).eval()
    with torch.no_grad():
        speaker.decoder.output.bias[EOS] = -100.0
    paths = enumerate_paths(data.graphs, data.graphs.scans)[:TOGETHER]
    nodes = torch.from_numpy(paths)
    views = torch.from_numpy(views_along(data.graphs, paths, np.zeros(len(paths))))
    greedy = Decoding(max_tokens=WORDS)

    def together(rows: int) -> list[str]:
        return describe(speaker, data.assets.words, data.town, nodes[:rows], views[:rows], decoding=greedy)

    def alone(rows: int) -> list[str]:
        return step_by_step(speaker, data, nodes[:rows], views[:rows])

    assert together(ALONE) == alone(ALONE), "both must write the same"
    rates = []
    for _ in range(ROUNDS):
        pair = []
        for write, rows in ((alone, ALONE), (together, TOGETHER)):
            before = time.perf_counter()
            write(rows)
            pair.append(rows / (time.perf_counter() - before))
        rates.append(pair)
    theirs, ours = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = statistics.median(own / their for their, own in rates)
    print(f"{name:<46}{theirs:>13.1f}{ours:>13.1f}{ratio:>9.1f}   instructions a second", flush=True)


def main() -> None:
    print(f"{'':<46}{'step by step':>13}{'genera':>13}{'ratio':>9}")
    small = SpeakerConfig(hidden=128, embedding=64)
    compare("hidden 128, views of 48 features", small, NavigationConfig())
    compare(
        "published size: hidden 512, 2,176 features", SpeakerConfig(), NavigationConfig(view_size=2048, angle_size=128)
    )
