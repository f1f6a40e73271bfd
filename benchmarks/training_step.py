"""A training step of a text VAE (BERT, latent, GPT-2): our blocks against the modules of transformers.

    python -m benchmarks.training_step

Same weights, same batch, same optimiser; both run in turn, round by round; the ratio is the median. Target: 1.3.
"""

import statistics
import time

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.likelihood import sequence_log_likelihood
from genera.blocks.pretrained import export_weights
from genera.blocks.size import TransformerSize

LATENT, PAD, ROUNDS = 32, 0, 15


class Head(nn.Module):
    """What both share: h → z ~ N(μ, σ²), and z → memory and embedding of the decoder."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.shape = (size.layers, size.heads, 1, size.hidden // size.heads)
        self.posterior = nn.Linear(size.hidden, 2 * LATENT, bias=False)
        self.memory = nn.Linear(LATENT, size.layers * size.hidden, bias=False)
        self.embedding = nn.Linear(LATENT, size.hidden, bias=False)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H) → memory (B, L, A, 1, D), embedding (B, H), KL (B,)."""
        mean, log_variance = self.posterior(feature).chunk(2, dim=-1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)
        return self.memory(z).unflatten(-1, self.shape), self.embedding(z), kl


class Ours(nn.Module):
    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.encoder, self.head, self.decoder = Bert(size, pooler=True), Head(size), Decoder(size)

    def forward(self, ids: Tensor) -> Tensor:
        feature = self.encoder.pooled(self.encoder(ids, ids != PAD))
        memory, embedding, kl = self.head(feature)
        states = self.decoder(ids[:, :-1], memory=memory, embedding=embedding)
        return (kl - sequence_log_likelihood(states, self.decoder.tokens.weight, ids[:, 1:], PAD)).mean()


class Theirs(nn.Module):
    """The same of transformers, the latent as the first slot of its cache."""

    def __init__(self, size: TransformerSize, ours: Ours) -> None:
        super().__init__()
        self.encoder = transformers.BertModel(
            transformers.BertConfig(
                vocab_size=size.vocabulary, hidden_size=size.hidden, num_hidden_layers=size.layers,
                num_attention_heads=size.heads, intermediate_size=size.feed_forward,
                max_position_embeddings=size.positions, hidden_dropout_prob=size.dropout,
                attention_probs_dropout_prob=size.dropout,
            )
        )  # fmt: skip
        self.decoder = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=size.vocabulary, n_embd=size.hidden, n_layer=size.layers, n_head=size.heads,
                n_inner=size.feed_forward, n_positions=size.positions, resid_pdrop=size.dropout,
                embd_pdrop=size.dropout, attn_pdrop=size.dropout, bos_token_id=1, eos_token_id=2,
            )
        )  # fmt: skip
        self.head = Head(size)
        self.encoder.load_state_dict(export_weights(ours.encoder))
        self.decoder.transformer.load_state_dict(export_weights(ours.decoder))
        self.head.load_state_dict(ours.head.state_dict())

    def forward(self, ids: Tensor) -> Tensor:
        memory, embedding, kl = self.head(self.encoder(ids, attention_mask=(ids != PAD).long()).pooler_output)
        cache = transformers.DynamicCache()
        for layer, slot in enumerate(memory.unbind(1)):
            cache.update(slot, slot, layer)
        vectors = self.decoder.transformer.wte(ids[:, :-1]) + embedding[:, None]
        logits = self.decoder(inputs_embeds=vectors, past_key_values=cache).logits
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD, reduction="sum")
        return kl.mean() + loss / len(ids)


def batch(rows: int, length: int, vocabulary: int) -> Tensor:
    """Lengths even between 3/4 of the length and all of it, as in a batch bucketed by length."""
    ids = torch.randint(3, vocabulary, (rows, length))
    lengths = torch.linspace(0.75 * length, length, rows).long()
    return ids.where(torch.arange(length) < lengths[:, None], PAD)


def step(model: nn.Module, optimiser: torch.optim.Optimizer, ids: Tensor) -> float:
    """Seconds of one step."""
    before = time.perf_counter()
    optimiser.zero_grad()
    model(ids).backward()
    optimiser.step()
    return time.perf_counter() - before


def size(layers: int, hidden: int, heads: int, vocabulary: int, dropout: float) -> TransformerSize:
    return TransformerSize(
        layers=layers, hidden=hidden, heads=heads, feed_forward=4 * hidden,
        vocabulary=vocabulary, positions=128, dropout=dropout,
    )  # fmt: skip


CASES = [
    ("2 x 64, 1k words", size(2, 64, 4, 1_000, 0.0), 64, 20),
    ("4 x 256, 10k words", size(4, 256, 4, 10_000, 0.1), 32, 32),
    ("6 x 384, GPT-2's tokens", size(6, 384, 6, 50_260, 0.1), 16, 32),
]


def main() -> None:
    transformers.logging.set_verbosity_error()
    print(f"forward, backward, AdamW; {torch.get_num_threads()} threads, {ROUNDS} rounds")
    print(f"{'model':<25}{'batch':<9}{'transformers ms':>16}{'genera ms':>11}{'ratio':>7}")
    for name, shape, rows, length in CASES:
        torch.manual_seed(0)
        ids = batch(rows, length, shape.vocabulary)
        ours = Ours(shape)
        theirs = Theirs(shape, ours)
        theirs.eval(), ours.eval()
        losses = [(torch.manual_seed(1), model(ids).item())[1] for model in (theirs, ours)]
        assert abs(losses[0] - losses[1]) < 1e-4 * losses[0], "the two must compute the same loss"
        pairs = [(m.train(), torch.optim.AdamW(m.parameters(), lr=1e-4, fused=True)) for m in (theirs, ours)]
        times = [[step(model, optimiser, ids) for model, optimiser in pairs] for _ in range(ROUNDS + 2)][2:]
        peer, own = (1000 * statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(a / b for a, b in times)
        print(f"{name:<25}{f'{rows} x {length}':<9}{peer:>16.1f}{own:>11.1f}{ratio:>7.2f}", flush=True)


if __name__ == "__main__":
    main()
