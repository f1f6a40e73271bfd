"""Autoregressive language models: maximum likelihood, and what the trained model can do."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn

from genera.blocks.decoder import Decoder
from genera.blocks.decoding import beam_search, decoder_writer, generate
from genera.blocks.decoding_options import decoding
from genera.blocks.likelihood import next_tokens, sequence_log_likelihood
from genera.blocks.pretrained import DECODERS, find, load_weights, read_size, write_folder
from genera.blocks.size import DecoderShape
from genera.blocks.warm_start import restored, warm_start
from genera.data.text.batches import TextBatch, collate
from genera.data.text.corpus import DecoderCorpus
from genera.data.text.packing import PackedBatch
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.engine.capabilities import Score
from genera.engine.config import RunConfig
from genera.engine.method import Method
from genera.engine.optimisers import player
from genera.engine.origin import Origin
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.methods.lm.config import LmConfig

ROWS_AT_ONCE = 512
"""Sentences scored together outside of training."""


class Lm(Method):
    """A causal Transformer (Radford et al. 2019; Touvron et al. 2023): p(x) = Π_t p(x_t | x_<t)."""

    dataset = DecoderCorpus

    def __init__(self, config: LmConfig, assets: Tokenisers) -> None:
        super().__init__(config, assets)
        self.config: LmConfig = config
        self.tokeniser = assets.decoder
        multiple = config.vocabulary_multiple
        self.decoder = Decoder(config.decoder.sized(-(-self.tokeniser.size // multiple) * multiple))
        self.decoder.blocks.checkpointing = config.checkpointing
        if config.position_init is not None and self.decoder.positions is not None:
            nn.init.normal_(self.decoder.positions.weight, std=config.position_init)

    # training

    def initialise(self) -> None:
        if self.config.pretrained_decoder:
            warm_start(self.decoder, self.config.pretrained_decoder, self.tokeniser)

    def players(self) -> dict[str, Player]:
        weights: list[Any] = list(self.decoder.parameters())
        if self.config.decayed == "matrices":
            kinds = [p for p in weights if p.ndim > 1], [p for p in weights if p.ndim == 1]
            weights = [{"params": kinds[0]}, {"params": kinds[1], "weight_decay": 0.0}]
        return {"lm": player(self.decoder, self.config, parameters=weights)}

    def update(self, batch: TextBatch | PackedBatch, step: Step) -> None:
        step.minimise("lm", self.objective, batch)

    def objective(self, batch: TextBatch | PackedBatch, step: Step) -> Terms:
        """Negative log-likelihood in nats, per target token of the global batch or per sentence."""
        if isinstance(batch, PackedBatch):
            nats = -self._log_likelihood(batch.tokens, batch.tokens[:, 1:]) / (batch.tokens.shape[1] - 1)
        else:
            nats = -self.log_likelihood(batch.decoder)
            if self.config.loss == "token":
                assert batch.per_target is not None
                nats = nats * batch.per_target
        return {"loss": nats.mean()}

    def validate(self, batch: TextBatch | PackedBatch, step: Step) -> Terms:
        return self.objective(batch, step)

    def log_likelihood(self, ids: Tensor) -> Tensor:
        """log p(x) in nats, (B,), of (B, T) ids <BOS> x <EOS>; BOS is given, EOS is predicted."""
        return self._log_likelihood(ids, next_tokens(ids, self.tokeniser.eos))

    def _log_likelihood(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Of (B, T - 1) targets after the (B, T) ids."""
        return sequence_log_likelihood(self.decoder(ids[:, :-1]), self.decoder.output, targets)

    # what the trained model can do

    @torch.no_grad()
    def sample(self, count: int, *, generator: Generator | None = None, **options: Any) -> list[str]:
        """Ancestral samples unless the options (fields of Decoding) say otherwise; with `beams`, the `count` likeliest
        sentences that the search finds. Raises GeneraError when it finds fewer."""
        tokeniser, how = self.tokeniser, decoding(options, temperature=1.0)
        rows = 1 if how.beams > 1 else count
        start = torch.full((rows, 1), tokeniser.bos, device=self.decoder.tokens.weight.device)
        special: dict[str, Any] = {"end": tokeniser.eos, "pad": tokeniser.pad, "forbid": self._forbidden}
        if how.beams > 1:
            if count > how.beams:
                raise GeneraError(f"a search with {how.beams} beams finds {how.beams} sentences, not {count}.")
            writer, how = decoder_writer(self.decoder, start, how)
            found, _ = beam_search(writer, start=start, decoding=how, **special)
            ids = found[0, :count]
        else:
            ids = generate(self.decoder, start=start, decoding=how, generator=generator, **special)
        return tokeniser.decode_batch(ids.cpu().numpy())

    @property
    def _forbidden(self) -> list[int]:
        """Ids that are never generated: begin, padding, and tokens that only fill up the vocabulary."""
        return [*self.tokeniser.never_written, *range(self.tokeniser.size, self.decoder.size.vocabulary)]

    def features(self, items: Sequence[str]) -> Tensor:
        """Sentences → the mean of the last layer's states over <BOS> x, (B, H), on the model's device."""
        rows = []
        for batch in self._batches(items):
            states = self.decoder(batch.decoder[:, :-1])  # EOS is never read in training, so its state says nothing
            inside = torch.arange(states.shape[1], device=states.device) < batch.length[:, None] - 1
            rows.append((states * inside[..., None]).sum(1) / inside.sum(1, keepdim=True))
        return torch.cat(rows)

    @torch.no_grad()
    def score(self, items: Sequence[str], samples: int = 1, *, generator: Generator | None = None) -> Score:
        """Exact log p(x): one weight a sentence, whatever `samples` is."""
        likelihoods, lengths = [], []
        for batch in self._batches(items):
            likelihoods.append(self.log_likelihood(batch.decoder).double())
            lengths.append(batch.length - 1)
        exact = torch.cat(likelihoods)[None]
        return Score(log_weights=exact, log_likelihood=exact, lengths={"tokens": torch.cat(lengths)})

    def _batches(self, items: Sequence[str]) -> Iterator[TextBatch]:
        for first in range(0, len(items), ROWS_AT_ONCE):
            some, longest = items[first : first + ROWS_AT_ONCE], self.decoder.size.positions
            batch = collate(some, self.assets, longest, first=first)
            yield batch.to(self.decoder.tokens.weight.device)

    # sharing

    def export(self, folder: Path, *, trimmed: bool = False) -> str:
        decoder, tokeniser = self.decoder, self.tokeniser
        if tokeniser.trimming and not trimmed:
            decoder, tokeniser = restored(decoder, self.config.pretrained_decoder, tokeniser), tokeniser.whole
        ids = {"pad_token_id": tokeniser.pad, "bos_token_id": tokeniser.bos, "eos_token_id": tokeniser.eos}
        write_folder(decoder, folder, **ids)
        tokeniser.export(folder)
        name, loader = {"gpt2": ("GPT-2", "GPT2LMHeadModel"), "llama": ("Llama", "LlamaForCausalLM")}[
            self.decoder.layout.name
        ]
        return f"- One {name} with its byte-level BPE tokeniser: `{loader}.from_pretrained` of transformers loads it."

    @classmethod
    def from_export(cls, config: RunConfig, folder: Path) -> Self:
        tokeniser = Tokeniser.load(folder, "bpe", config.data.special_tokens)
        method = cls(config.model, Tokenisers(encoder=None, decoder=tokeniser))
        expected, size = method.decoder.size, read_size(folder, DECODERS)
        if replace(size, init=expected.init) != expected:
            raise GeneraError(f"{folder} is of size {size}, and genera.json in it says {expected}.")
        load_weights(method.decoder, folder)
        return method

    @classmethod
    def from_origin(cls, config: RunConfig, origin: Origin) -> tuple[RunConfig, Self]:
        """A GPT-2 or a Llama. Vectors of appended special tokens are drawn where it has not got them."""
        name = config.method
        origin.only(
            *("source", "decoder_tokeniser", "decoder_layers", "trim_vocabulary", "text_column"),
            because=f"{name} is one model, named as the source",
        )
        if origin.source is None:
            raise GeneraError(f"an import of {name} needs a GPT-2 or Llama as its source: a directory or a hub name.")
        size = read_size(find(origin.source), DECODERS)
        limits = {"max_tokens": min(config.data.max_tokens, size.positions)}
        if config.data.context is not None:
            limits = {"context": min(config.data.context, size.positions)}
        tokeniser = origin.decoder_tokeniser or origin.source
        data = replace(origin.data(config.data), decoder_tokeniser=tokeniser, **limits)
        assets = cls.dataset.tokenisers_for(data)
        shape = origin.shape_of("decoder", size.shape)
        assert isinstance(shape, DecoderShape)
        model = replace(config.model, decoder=shape, pretrained_decoder=origin.source)
        decoder = assets.decoder
        if decoder.own and decoder.trimming is None and decoder.size < size.vocabulary:
            model = replace(model, vocabulary_multiple=size.vocabulary)  # more vectors than tokens, as some models have
        method = cls(model, assets)
        method.initialise()
        return replace(config, model=model, data=data), method
