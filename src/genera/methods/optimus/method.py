"""Optimus: the objective, one training step, and what the trained model can do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Generator, Tensor

from genera.blocks.decoding_options import decoding
from genera.blocks.schedules import cyclical, monotone
from genera.data.text.batches import TextBatch, collate
from genera.data.text.corpus import TextCorpus
from genera.data.vocabularies.tokenisers import Tokenisers
from genera.engine.capabilities import Posterior, Score
from genera.engine.config import RunConfig
from genera.engine.method import Method, Stage
from genera.engine.optimisers import player
from genera.engine.origin import Origin
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.measures.latent import gaussian_kl
from genera.methods.families.text_vae import ROWS_AT_ONCE, drawn
from genera.methods.optimus import exchange
from genera.methods.optimus.config import OptimusConfig
from genera.methods.optimus.frozen import EncodedCorpus, encode
from genera.methods.optimus.model import OptimusNetwork


class Optimus(Method):
    """Li et al., "Optimus: Organizing Sentences via Pre-trained Modeling of a Latent Space", EMNLP 2020."""

    dataset = TextCorpus

    def __init__(self, config: OptimusConfig, assets: Tokenisers) -> None:
        super().__init__(config, assets)
        assert assets.encoder is not None
        self.config: OptimusConfig = config
        self.assets: Tokenisers = assets
        self.latent_size = config.latent_size
        self.network = OptimusNetwork(
            config,
            encoder=config.encoder.sized(assets.encoder.size),
            decoder=config.decoder.sized(assets.decoder.size),
            encoder_pad=assets.encoder.pad,
            decoder_end=assets.decoder.eos,
        )

    # training

    def initialise(self) -> None:
        self.network.warm_start(self.assets)

    def stages(self) -> list[Stage]:
        frozen = "encoder" in self.config.freeze
        return [Stage("train", self.players, self.update, data=self.encoded if frozen else None)]

    def players(self) -> dict[str, Player]:
        config, trained = self.config, [p for p in self.network.parameters() if p.requires_grad]
        groups: list[Any] = trained
        if any(config.rates.values()):
            groups = [
                {"params": parameters, "lr": config.rates[part] or config.lr}
                for part, parameters in self.network.parts().items()
            ]
        held: dict[str, Any] = {"held": ("encoder", "decoder"), "held_until": config.head_start}
        return {"vae": player(self.network, config, parameters=groups, **held)}

    def encoded(self, data: TextCorpus, artefacts: Path) -> EncodedCorpus:
        """The corpus with the features of the frozen encoder, or its states, which the network standardises."""
        encoded = encode(self.network, data)
        self.network.standardise(*encoded["train"].moments())
        return EncodedCorpus(data, encoded)

    def update(self, batch: TextBatch, step: Step) -> None:
        step.minimise("vae", self.objective, batch)

    def objective(self, batch: TextBatch, step: Step) -> Terms:
        """L_E + beta L_R with free bits (equations 4 and 9)."""
        noise = step.normal(len(batch), self.config.latent_size)
        log_likelihood, mean, log_variance = self.network(batch, noise, self.dropped_words(batch, step))
        reconstruction = -log_likelihood / batch.length if self.config.length_weighted else -log_likelihood
        kl = gaussian_kl(mean, log_variance)
        beta = self.beta(step.progress)
        loss = reconstruction.mean()
        if beta > 0:
            loss = loss + beta * self.pressed(kl)
        return {
            "loss": loss,
            "reconstruction": -log_likelihood.mean(),
            "kl": kl.sum(1).mean(),
            "beta": loss.new_tensor(beta),
        }

    def dropped_words(self, batch: TextBatch, step: Step) -> Tensor | None:
        """(B, T - 1), True for the tokens after BOS that word dropout hides; None outside of training."""
        if not self.training or not self.config.word_dropout:
            return None
        rows, width = batch.decoder.shape
        dropped = step.uniform(rows, width - 1) < self.config.word_dropout
        dropped[:, 0] = False
        return dropped

    def beta(self, progress: float) -> float:
        """Weight of the KL term when the share `progress` of the run is over."""
        schedule, hold, ramp = self.config.beta_schedule, self.config.beta_hold, self.config.beta_ramp
        if schedule == "constant":
            return self.config.beta
        if schedule == "monotone":
            return self.config.beta * monotone(progress, hold=hold, ramp=ramp)
        return self.config.beta * cyclical(progress, cycles=self.config.beta_cycles, hold=hold, ramp=ramp)

    def pressed(self, kl: Tensor) -> Tensor:
        """The KL term (B, P) → () with its free bits: max(lambda, KL_i) per sentence, or of the batch's mean."""
        if self.config.free_bits_over == "batch":
            kl = kl.mean(0, keepdim=True)
        return kl.clamp(min=self.config.free_bits).sum(1).mean()

    def validate(self, batch: TextBatch, step: Step) -> Terms:
        """As trained, but at the full beta, so that checkpoints of one run can be compared."""
        step.progress = 1.0
        return self.objective(batch, step)

    # what the trained model can do

    def encode(self, items: Sequence[str]) -> Posterior:
        """Sentences → q(z|x) on the model's device."""
        mean, log_variance = zip(*(self._posterior(batch) for batch in self._batches(items)), strict=True)
        return Posterior(torch.cat(mean), torch.cat(log_variance))

    def features(self, items: Sequence[str]) -> Tensor:
        """Sentences → h, (B, H), on the model's device (the paper's classifiers stand on it, not on z)."""
        rows = [self.network.features(batch.encoder) for batch in self._batches(items) if batch.encoder is not None]
        return torch.cat(rows)

    @torch.no_grad()
    def decode(self, z: Tensor, *, generator: Generator | None = None, **options: Any) -> list[str]:
        """z: (B, P) → B sentences, greedily unless the options (fields of Decoding) say otherwise."""
        return self.network.write(z, self.assets.decoder, decoding(options), generator)

    def sample(self, count: int, *, generator: Generator | None = None, **options: Any) -> list[str]:
        """Decode z ~ N(0, I), as `decode` does."""
        device = self.network.to_posterior.weight.device
        z = torch.randn(count, self.latent_size, generator=generator, device=device)
        return self.decode(z, generator=generator, **options)

    @torch.no_grad()
    def score(self, items: Sequence[str], samples: int, *, generator: Generator | None = None) -> Score:
        """Likelihood terms at `samples` draws of z ~ q(z|x) a sentence (section 4 of the paper's appendix)."""
        weights, likelihoods, divergences, lengths = [], [], [], []
        for batch in self._batches(items):
            mean, log_variance = self._posterior(batch)
            noise = torch.randn(samples, *mean.shape, generator=generator, device=mean.device)
            z = drawn(mean, log_variance, noise)
            chunk = max(1, ROWS_AT_ONCE // len(batch))
            log_likelihood = torch.cat([self._likelihood_of_rows(batch.decoder, part) for part in z.split(chunk)])
            # log p(z) - log q(z|x): the normalising constants cancel
            ratio = 0.5 * (noise.double().square() + log_variance.double() - z.double().square()).sum(2)
            weights.append(log_likelihood + ratio)
            likelihoods.append(log_likelihood)
            divergences.append(gaussian_kl(mean, log_variance).sum(1))
            lengths.append(batch.length - 1)
        return Score(
            torch.cat(weights, 1), torch.cat(likelihoods, 1), torch.cat(divergences), {"tokens": torch.cat(lengths)}
        )

    def score_given(self, items: Sequence[str], z: Tensor) -> Tensor:
        batches, parts = self._batches(items), z.split(ROWS_AT_ONCE)
        rows = [self.network.log_likelihood(b.decoder, part) for b, part in zip(batches, parts, strict=True)]
        return torch.cat(rows).double()

    # sharing

    def export(self, folder: Path, *, trimmed: bool = False) -> str:
        return exchange.write_folder(self.network, self.assets, folder, trimmed=trimmed)

    @classmethod
    def from_export(cls, config: RunConfig, folder: Path) -> Self:
        method = cls(config.model, Tokenisers.load(folder))
        exchange.read_folder(method.network, folder)
        return method

    @classmethod
    def from_origin(cls, config: RunConfig, origin: Origin) -> tuple[RunConfig, Self]:
        """A BERT and a GPT-2 with fresh latent maps between them, or an Optimus under the original code's names."""
        folder = None
        if origin.source is None:
            config = exchange.from_parts(config, origin)
        else:
            config, folder = exchange.from_original(config, origin)
        method = cls(config.model, cls.dataset.tokenisers_for(config.data))
        if folder is None:
            method.initialise()
        else:
            exchange.read_original(method.network, folder)
        return config, method

    def _likelihood_of_rows(self, ids: Tensor, z: Tensor) -> Tensor:
        """ids (B, T), z (K, B, P) → (K, B) float64."""
        rows = ids.expand(len(z), *ids.shape).flatten(0, 1)
        return self.network.log_likelihood(rows, z.flatten(0, 1)).view(z.shape[:2]).double()

    def _posterior(self, batch: TextBatch) -> tuple[Tensor, Tensor]:
        assert batch.encoder is not None
        return self.network.encode(batch.encoder)

    def _batches(self, items: Sequence[str]) -> list[TextBatch]:
        device = self.network.to_posterior.weight.device
        return [
            collate(items[i : i + ROWS_AT_ONCE], self.assets, self.config.longest, first=i).to(device)
            for i in range(0, len(items), ROWS_AT_ONCE)
        ]
