"""The GPT-2 language model: maximum likelihood, and what the trained model can do."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Generator, Tensor

from genera.blocks.decoder import Decoder
from genera.blocks.decoding import beam_search, decoder_writer, generate
from genera.blocks.decoding_options import decoding
from genera.blocks.likelihood import next_tokens, sequence_log_likelihood
from genera.blocks.pretrained import DECODERS, find, load_weights, read_size, write_folder
from genera.blocks.warm_start import restored, warm_start
from genera.data.text.batches import TextBatch, collate
from genera.data.text.corpus import DecoderCorpus
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.engine.capabilities import Score
from genera.engine.config import RunConfig
from genera.engine.method import Method
from genera.engine.optimisers import player
from genera.engine.origin import Origin
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.methods.gpt2_lm.config import Gpt2LmConfig

ROWS_AT_ONCE = 512
"""Sentences scored together outside of training."""


class Gpt2Lm(Method):
    """Radford et al., "Language Models are Unsupervised Multitask Learners", 2019; trained sentence by sentence."""

    dataset = DecoderCorpus

    def __init__(self, config: Gpt2LmConfig, assets: Tokenisers) -> None:
        super().__init__(config, assets)
        self.config: Gpt2LmConfig = config
        self.tokeniser = assets.decoder
        self.decoder = Decoder(config.decoder.sized(self.tokeniser.size))
        self.decoder.blocks.checkpointing = config.checkpointing

    # training

    def initialise(self) -> None:
        if self.config.pretrained_decoder:
            warm_start(self.decoder, self.config.pretrained_decoder, self.tokeniser)

    def players(self) -> dict[str, Player]:
        return {"lm": player(self.decoder, self.config)}

    def update(self, batch: TextBatch, step: Step) -> None:
        step.minimise("lm", self.objective, batch)

    def objective(self, batch: TextBatch, step: Step) -> Terms:
        """Mean negative log-likelihood in nats per sentence."""
        return {"loss": -self.log_likelihood(batch.decoder).mean()}

    def validate(self, batch: TextBatch, step: Step) -> Terms:
        return self.objective(batch, step)

    def log_likelihood(self, ids: Tensor) -> Tensor:
        """log p(x) in nats, (B,), of (B, T) ids <BOS> x <EOS>; BOS is given, EOS is predicted."""
        states = self.decoder(ids[:, :-1])
        return sequence_log_likelihood(states, self.decoder.output, next_tokens(ids, self.tokeniser.eos))

    # what the trained model can do

    @torch.no_grad()
    def sample(self, count: int, *, generator: Generator | None = None, **options: Any) -> list[str]:
        """Ancestral samples unless the options (fields of Decoding) say otherwise; with `beams`, the `count` likeliest
        sentences that the search finds. Raises GeneraError when it finds fewer."""
        tokeniser, how = self.tokeniser, decoding(options, temperature=1.0)
        rows = 1 if how.beams > 1 else count
        start = torch.full((rows, 1), tokeniser.bos, device=self.decoder.tokens.weight.device)
        special: dict[str, Any] = {"end": tokeniser.eos, "pad": tokeniser.pad, "forbid": tokeniser.never_written}
        if how.beams > 1:
            if count > how.beams:
                raise GeneraError(f"a search with {how.beams} beams finds {how.beams} sentences, not {count}.")
            writer, how = decoder_writer(self.decoder, start, how)
            found, _ = beam_search(writer, start=start, decoding=how, **special)
            ids = found[0, :count]
        else:
            ids = generate(self.decoder, start=start, decoding=how, generator=generator, **special)
        return tokeniser.decode_batch(ids.cpu().numpy())

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
        return (
            "- One GPT-2 with its byte-level BPE tokeniser: `GPT2LMHeadModel.from_pretrained` of transformers loads it."
        )

    @classmethod
    def from_export(cls, config: RunConfig, folder: Path) -> Self:
        method = cls(
            config.model, Tokenisers(encoder=None, decoder=Tokeniser.load(folder, "bpe", config.data.special_tokens))
        )
        expected, size = method.decoder.size, read_size(folder, DECODERS)
        if replace(size, init=expected.init) != expected:
            raise GeneraError(f"{folder} is of size {size}, and genera.json in it says {expected}.")
        load_weights(method.decoder, folder)
        return method

    @classmethod
    def from_origin(cls, config: RunConfig, origin: Origin) -> tuple[RunConfig, Self]:
        """A GPT-2; the vectors of the three special tokens are drawn where it has not got them."""
        origin.only(
            *("source", "decoder_tokeniser", "decoder_layers", "trim_vocabulary", "text_column"),
            because="gpt2-lm is one model, named as the source",
        )
        if origin.source is None:
            raise GeneraError("an import of gpt2-lm needs a GPT-2 as its source: a directory or a hub name.")
        size = read_size(find(origin.source), DECODERS)
        tokeniser = origin.decoder_tokeniser or origin.source
        longest = min(config.data.max_tokens, size.positions)
        data = replace(origin.data(config.data), decoder_tokeniser=tokeniser, max_tokens=longest)
        shape = origin.shape_of("decoder", size.shape)
        model = replace(config.model, decoder=shape, pretrained_decoder=origin.source)
        method = cls(model, cls.dataset.tokenisers_for(data))
        method.initialise()
        return replace(config, model=model, data=data), method
