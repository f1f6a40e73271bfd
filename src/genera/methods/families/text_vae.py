"""The networks of a text VAE: BERT → q(z|x) → GPT-2 that sees z as memory, in its embeddings, or both.

Shapes: B sentences, S encoder tokens, T decoder tokens, H hidden, L decoder layers, G heads of keys and values of width
D, P latent.
"""

from typing import TypedDict

import torch
from torch import Generator, Tensor, nn

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.decoding import generate
from genera.blocks.decoding_options import Decoding
from genera.blocks.layouts import BERT
from genera.blocks.likelihood import next_tokens, sequence_log_likelihood
from genera.blocks.size import TransformerSize
from genera.blocks.transformer import Attention
from genera.blocks.warm_start import warm_start
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.errors import GeneraError
from genera.methods.families.text_vae_config import TextVaeConfig

ROWS_AT_ONCE = 256
"""Sentences decoded together."""
TOKENS_AT_ONCE = 1 << 15
"""Tokens read together without gradients: the bound at K samples reads those of each sentence K times."""


class Conditions(TypedDict):
    """z as Decoder takes it."""

    memory: Tensor | None
    embedding: Tensor | None


class AttentionPooling(nn.Module):
    """Q learned queries attend to the encoder's states; h is what they read, H/Q units of each."""

    def __init__(self, encoder: TransformerSize, queries: int) -> None:
        super().__init__()
        hidden = encoder.hidden
        self.queries = nn.Parameter(torch.randn(queries, hidden) * hidden**-0.5)
        self.positions = nn.Parameter(torch.zeros(encoder.positions, hidden))  # which last states hardly hold
        self.attention = Attention(encoder, encoder.layout or BERT)
        self.out = nn.Linear(hidden, hidden // queries)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, S, H) states, real where `mask` (B, S) is True → h, (B, H)."""
        states = states + self.positions[: states.shape[1]]
        queries = self.queries.expand(len(states), -1, -1)
        read = self.attention(queries, mask[:, None, None], context=states)
        return self.out(read).flatten(1)


class TextVae(nn.Module):
    """Sizes carry the tokenisers' vocabularies. `encoder_pad`: fills rows up. `decoder_end`: ends a sentence."""

    def __init__(
        self,
        config: TextVaeConfig,
        encoder: TransformerSize,
        decoder: TransformerSize,
        encoder_pad: int,
        decoder_end: int,
    ) -> None:
        super().__init__()
        self.config, self.encoder_pad, self.decoder_end = config, encoder_pad, decoder_end
        self.encoder = Bert(encoder, pooler=config.feature == "pooler")
        self.decoder = Decoder(decoder, memory_has_position=config.memory_positions == "first")
        self.encoder.blocks.checkpointing = self.decoder.blocks.checkpointing = config.checkpointing
        self.pooling = AttentionPooling(encoder, config.feature_queries) if config.feature == "attention" else None
        self.to_posterior = nn.Linear(encoder.hidden, 2 * config.latent_size, bias=False)  # W_E
        self.to_memory = self.to_embedding = None
        if config.injection != "embedding":
            values = decoder.layers * decoder.groups * config.memory_slots * decoder.width
            self.to_memory = nn.Linear(config.latent_size, values, bias=False)  # W_M
        if config.injection != "memory":
            self.to_embedding = nn.Linear(config.latent_size, decoder.hidden, bias=False)  # W_D
        for layer in (self.to_posterior, self.to_memory, self.to_embedding):
            if layer is not None:
                nn.init.normal_(layer.weight, std=config.latent_init)

    def warm_start(self, tokenisers: Tokenisers) -> None:
        """Begin with the pretrained weights that the config names. Raises GeneraError with all complaints."""
        assert tokenisers.encoder is not None
        wrong = []
        for model, source, tokeniser in (
            (self.encoder, self.config.pretrained_encoder, tokenisers.encoder),
            (self.decoder, self.config.pretrained_decoder, tokenisers.decoder),
        ):
            try:
                if source:
                    warm_start(model, source, tokeniser)
            except GeneraError as error:
                wrong.append(str(error))
        if wrong:
            raise GeneraError(" ".join(wrong))

    def features(self, ids: Tensor) -> Tensor:
        """(B, S) WordPiece ids → h, (B, H): what both the posterior and a classifier are linear in."""
        mask = ids != self.encoder_pad
        return self.summary(self.encoder(ids, mask), mask)

    def summary(self, states: Tensor, mask: Tensor) -> Tensor:
        """The encoder's states (B, S, H), real where `mask` (B, S) is True → h, (B, H)."""
        if self.config.feature == "pooler":
            return self.encoder.pooled(states)
        if self.config.feature == "cls":
            return states[:, 0]
        if self.pooling is not None:
            return self.pooling(states, mask)
        return (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def posterior(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, H) → mean and log variance, each (B, P)."""
        mean, log_variance = self.to_posterior(features).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S) WordPiece ids → mean and log variance of q(z|x), each (B, P)."""
        return self.posterior(self.features(ids))

    def conditions(self, z: Tensor) -> Conditions:
        """(B, P) → the memory (B, L, G, N, D) of N slots and the embedding (B, H) of z (section 3.1)."""
        memory, size = None, self.decoder.size
        if self.to_memory is not None:
            memory = self.to_memory(z).view(len(z), size.layers, size.groups, -1, size.width)
        return {"memory": memory, "embedding": None if self.to_embedding is None else self.to_embedding(z)}

    def log_likelihood(self, ids: Tensor, z: Tensor, dropped: Tensor | None = None) -> Tensor:
        """log p(x|z) in nats, (B,), of (B, T) BPE ids <BOS> x <EOS>; BOS is given, EOS is predicted.

        dropped: (B, T - 1), True where the decoder does not see the token that it continues.
        """
        rows = max(1, TOKENS_AT_ONCE // ids.shape[1])
        if len(ids) > rows and dropped is None and not torch.is_grad_enabled():
            parts = zip(ids.split(rows), z.split(rows), strict=True)
            return torch.cat([self.log_likelihood(some, of_them) for some, of_them in parts])
        states = self.decoder(ids[:, :-1], dropped=dropped, **self.conditions(z))
        return sequence_log_likelihood(states, self.decoder.output, next_tokens(ids, self.decoder_end))

    def write(self, z: Tensor, tokeniser: Tokeniser, how: Decoding, generator: Generator | None) -> list[str]:
        """z: (B, P) → B sentences; `tokeniser` is the decoder's."""
        texts = []
        for part in z.split(max(1, ROWS_AT_ONCE // how.beams)):
            ids = generate(
                self.decoder,
                start=torch.full((len(part), 1), tokeniser.bos, device=z.device),
                decoding=how,
                end=tokeniser.eos,
                pad=tokeniser.pad,
                forbid=tokeniser.never_written,
                generator=generator,
                **self.conditions(part),
            )
            texts += tokeniser.decode_batch(ids.cpu().numpy())
        return texts


def drawn(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """mean + σ ε: a point of each posterior. All (B, P), or broadcast to it."""
    return mean + (0.5 * log_variance).exp() * noise
