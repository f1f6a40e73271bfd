"""SpaceFusion, StyleFusion and Seq2Seq: the objectives, one training step, and responses."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from genera.blocks.decoding_options import decoding
from genera.data.dialogues.batches import DialogueAssets, DialogueBatch, collate_contexts
from genera.data.dialogues.corpus import DialogueCorpus
from genera.data.text.batches import collate
from genera.engine.method import Method
from genera.engine.optimisers import player
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.methods.families.text_vae import ROWS_AT_ONCE, TextVae, drawn
from genera.methods.spacefusion.config import SpaceFusionConfig
from genera.methods.spacefusion.model import ContextLayers, freeze_shared

TINIEST = 1e-12
"""Mean squares below this count as it: the root has no slope at 0."""


class SpaceFusion(Method):
    """Gao et al., "Jointly Optimizing Diversity and Relevance in Neural Response Generation", NAACL 2019, and
    "Structuring Latent Spaces for Stylized Response Generation", EMNLP 2019, as Li et al. (EMNLP 2020, section 4.2)
    put them on the networks of Optimus."""

    dataset = DialogueCorpus
    begins_from = ("optimus",)

    def __init__(self, config: SpaceFusionConfig, assets: DialogueAssets) -> None:
        super().__init__(config, assets)
        assert assets.encoder is not None
        self.config: SpaceFusionConfig = config
        self.assets: DialogueAssets = assets
        self.network = TextVae(
            config,
            encoder=config.encoder.sized(assets.encoder.size),
            decoder=config.decoder.sized(assets.decoder.size),
            encoder_pad=assets.encoder.pad,
            decoder_end=assets.decoder.eos,
        )
        self.context_layers = ContextLayers(self.network, config.context_layers)
        if config.freeze_shared:
            freeze_shared(self.network, config.context_layers)

    # training

    def initialise(self) -> None:
        self.network.warm_start(self.assets)
        self.context_layers.copy(self.network)

    def complete(self, new: Sequence[str]) -> None:
        if "context_layers" in new:
            self.context_layers.copy(self.network)

    def players(self) -> dict[str, Player]:
        return {"responder": player(nn.ModuleList([self.network, self.context_layers]), self.config)}

    def update(self, batch: DialogueBatch, step: Step) -> None:
        step.minimise("responder", self.objective, batch)

    def objective(self, batch: DialogueBatch, step: Step) -> Terms:
        """Mean of -log p(x|z) over the points that `config.objective` asks for, plus beta times the distances."""
        network = self.network
        context = self._point(self.encode_context(batch.context, batch.segments), step)  # z_S2S
        if self.config.objective == "seq2seq":
            return {"loss": -network.log_likelihood(batch.decoder, context).mean()}
        response = self._point(network.encode(batch.encoder), step)  # z_AE
        noise = self.config.between_noise * step.normal(*response.shape)
        between = torch.lerp(response, context, step.uniform(len(batch), 1)) + noise
        z = torch.cat((response, context, between))
        log_likelihood = network.log_likelihood(batch.decoder.repeat(3, 1), z).view(3, -1).mean(1)
        apart, spread = self.distances(response, context)
        loss = self.config.beta * (apart - spread) - log_likelihood.mean()
        terms = {f"nats_{name}": -log_likelihood[i] for i, name in enumerate(("response", "context", "between"))}
        terms |= {"distance": apart, "spread": spread}
        if self.config.objective == "stylefusion":
            terms["nats_style"] = self.style_loss(batch, response, step)
            loss = loss + terms["nats_style"]
        return {"loss": loss, **terms}

    def encode_context(self, ids: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        """ids and segments (B, C) → mean and log variance of q(z|context), each (B, P)."""
        posterior: tuple[Tensor, Tensor] = self.context_layers(self.network, ids, segments)
        return posterior

    def distances(self, response: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """How far a response is from its context, and how far the points of each set are from each other, the latter
        up to `spread_limit`. Both (B, P) → (), () means of distances by root mean square over the dimensions."""
        sets = torch.stack((response, context)).unflatten(1, (-1, self._group(len(response))))  # (2, groups, size, P)
        i, j = torch.triu_indices(sets.shape[2], sets.shape[2], offset=1, device=sets.device)
        pairs = rms(sets[:, :, i] - sets[:, :, j]).clamp(max=self.config.spread_limit)
        return rms(response - context).mean(), pairs.mean((1, 2)).sum()

    def style_loss(self, batch: DialogueBatch, response: Tensor, step: Step) -> Tensor:
        """-[t log p(b|z') + (1 - t) log p(x|z')] at z' = t z_style + (1 - t) z_AE, b being in the style: the mean."""
        assert batch.style_encoder is not None
        assert batch.style_decoder is not None
        style = self._point(self.network.encode(batch.style_encoder), step)
        t = step.uniform(len(batch), 1)
        z = torch.lerp(response, style, t)
        in_style = self.network.log_likelihood(batch.style_decoder, z)
        as_said = self.network.log_likelihood(batch.decoder, z)
        return -torch.lerp(as_said, in_style, t[:, 0]).mean()

    def validate(self, batch: DialogueBatch, step: Step) -> Terms:
        """Nats of a response given its context: what all three objectives can be compared by."""
        context = self._point(self.encode_context(batch.context, batch.segments), step)
        return {"loss": -self.network.log_likelihood(batch.decoder, context).mean()}

    def _point(self, posterior: tuple[Tensor, Tensor], step: Step) -> Tensor:
        return drawn(*posterior, step.normal(*posterior[0].shape))

    def _group(self, rows: int) -> int:
        size = min(self.config.spread_group, rows)
        if rows % size or size < 2:
            raise GeneraError(
                f"{rows} rows of one rank and part do not divide into groups of {self.config.spread_group} that press "
                "each other apart; change --batch-size or --spread-group."
            )
        return size

    # what the trained model can do

    @torch.no_grad()
    def respond(
        self, contexts: Sequence[Sequence[str]], count: int, *, generator: Generator | None = None, **options: Any
    ) -> list[list[str]]:
        """`count` responses to each context, each from a z of its own; sampled at top-p 0.9 unless the options (fields
        of Decoding) say otherwise."""
        mean, log_variance = (part.repeat_interleave(count, 0) for part in self._posterior(contexts))
        z = drawn(mean, log_variance, torch.randn(mean.shape, generator=generator, device=mean.device))
        how = decoding(options, temperature=1.0, top_p=0.9)
        texts = self.network.write(z, self.assets.decoder, how, generator)
        return [texts[i : i + count] for i in range(0, len(texts), count)]

    @torch.no_grad()
    def score_responses(
        self,
        contexts: Sequence[Sequence[str]],
        responses: Sequence[str],
        samples: int,
        *,
        generator: Generator | None = None,
    ) -> Tensor:
        """log p(x|z_k) of each response x at `samples` draws z_k ~ q(z|context): (K, B) float64, in nats."""
        mean, log_variance = self._posterior(contexts)
        rows = []
        for part in range(0, len(responses), ROWS_AT_ONCE):
            some = slice(part, part + ROWS_AT_ONCE)
            batch = collate(responses[some], self.assets, self.config.longest).to(mean.device)
            noise = torch.randn(samples, *mean[some].shape, generator=generator, device=mean.device)
            z = drawn(mean[some], log_variance[some], noise)
            rows.append(torch.stack([self.network.log_likelihood(batch.decoder, draw) for draw in z]).double())
        return torch.cat(rows, 1)

    def _posterior(self, contexts: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """q(z|context) of each context: mean and log variance, (B, P) each."""
        device, posteriors = self.network.to_posterior.weight.device, []
        for part in range(0, len(contexts), ROWS_AT_ONCE):
            ids, segments = collate_contexts(contexts[part : part + ROWS_AT_ONCE], self.assets)
            posteriors.append(self.encode_context(ids.to(device), segments.to(device)))
        mean, log_variance = zip(*posteriors, strict=True)
        return torch.cat(mean), torch.cat(log_variance)


def rms(difference: Tensor) -> Tensor:
    """(..., P) → (...): root mean square over the dimensions."""
    return difference.square().mean(-1).clamp(min=TINIEST).sqrt()
