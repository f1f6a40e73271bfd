"""Autoregressive language models: maximum likelihood, and what the trained model can do."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn

from genera.blocks.decoder import Decoder
from genera.blocks.decoding import beam_search, decoder_writer, generate
from genera.blocks.decoding_options import Decoding, decoding
from genera.blocks.likelihood import IGNORED, next_tokens, sequence_log_likelihood
from genera.blocks.pretrained import DECODERS, find, load_weights, read_size, write_folder
from genera.blocks.size import DecoderShape
from genera.blocks.warm_start import restored, warm_start
from genera.data.text.batches import TextBatch, check_length, collate, readable
from genera.data.text.corpus import DecoderCorpus
from genera.data.text.packing import PackedBatch
from genera.data.vocabularies.tokenisers import Tokeniser, Tokenisers
from genera.engine.capabilities import LastWords, Score
from genera.engine.config import RunConfig
from genera.engine.method import Method
from genera.engine.optimisers import player
from genera.engine.origin import Origin
from genera.engine.player import Player, Terms
from genera.engine.step import Step
from genera.errors import GeneraError
from genera.methods.lm.config import LmConfig
from genera.methods.lm.rows import ROWS_AT_ONCE, right_padded, shared_prefix


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

    def sample(self, count: int, *, generator: Generator | None = None, **options: Any) -> list[str]:
        """Ancestral samples unless the options (fields of Decoding) say otherwise; with `beams`, the `count` likeliest
        sentences that the search finds. Raises GeneraError when it finds fewer."""
        how = decoding(options, temperature=1.0)
        return self._written([[self.tokeniser.bos]], count, how, generator)[0]

    def continuations(
        self, prompts: Sequence[str], count: int, *, generator: Generator | None = None, **options: Any
    ) -> list[list[str]]:
        """As `sample`, after each of the prompts; those of equal length are decoded together. A continuation begins
        with a space unless it goes on with the last word."""
        how, prompts = decoding(options, temperature=1.0), readable(prompts)
        starts = [ids[:-1] for ids in self.tokeniser.encode_batch(prompts)]
        found: dict[int, list[str]] = {}
        for length in sorted({len(ids) for ids in starts}):
            places = [i for i, ids in enumerate(starts) if len(ids) == length]
            written = self._written([starts[i] for i in places], count, how, generator)
            found |= dict(zip(places, written, strict=True))
        return [[text[len(prompt) :] for text in found[i]] for i, prompt in enumerate(prompts)]

    @torch.no_grad()
    def _written(
        self, starts: list[list[int]], count: int, how: Decoding, generator: Generator | None
    ) -> list[list[str]]:
        """`count` texts that begin with each of the starts, which are equally long."""
        tokeniser, start = self.tokeniser, torch.tensor(starts, device=self.decoder.tokens.weight.device)
        unused = range(tokeniser.size, self.decoder.size.vocabulary)
        special: dict[str, Any] = {"end": tokeniser.eos, "pad": tokeniser.pad}
        special["forbid"] = (*tokeniser.never_written, *unused)
        if how.beams > 1:
            if count > how.beams:
                raise GeneraError(f"a search with {how.beams} beams finds {how.beams} sentences, not {count}.")
            writer, how = decoder_writer(self.decoder, start, how)
            searched, _ = beam_search(writer, start=start, decoding=how, **special)
            ids = searched[:, :count].flatten(0, 1)
        else:
            rows = start.repeat_interleave(count, 0)
            ids = generate(self.decoder, start=rows, decoding=how, generator=generator, **special)
        ids = torch.cat([start.repeat_interleave(count, 0), ids], 1)
        texts = tokeniser.decode_batch(ids.cpu().numpy())
        return [texts[i : i + count] for i in range(0, len(texts), count)]

    def features(self, items: Sequence[str]) -> Tensor:
        """Sentences → the mean of the last layer's states over <BOS> x, (B, H), on the model's device."""
        rows = []
        for first in range(0, len(items), ROWS_AT_ONCE):
            some, longest = items[first : first + ROWS_AT_ONCE], self.decoder.size.positions
            batch = collate(some, self.assets, longest, first=first).to(self.decoder.tokens.weight.device)
            states = self.decoder(batch.decoder[:, :-1])  # EOS is never read in training, so its state says nothing
            inside = torch.arange(states.shape[1], device=states.device) < batch.length[:, None] - 1
            rows.append((states * inside[..., None]).sum(1) / inside.sum(1, keepdim=True))
        return torch.cat(rows)

    @torch.no_grad()
    def score(self, items: Sequence[str], samples: int = 1, *, generator: Generator | None = None) -> Score:
        """Exact log p(x): one weight a text, whatever `samples` is.

        A text with more tokens than positions is read in consecutive windows, each of which begins with the last token
        of the one before (gpt2-lm, which models sentences, raises GeneraError).
        """
        window = self.decoder.size.positions
        texts = readable(items)
        rows = self.tokeniser.encode_batch(texts)
        if not self.config.reads_windows:
            for number, (text, row) in enumerate(zip(texts, rows, strict=True), 1):
                check_length(number, text, len(row), window)
        windows = [row[i : i + window + 1] for row in rows for i in range(0, len(row) - 1, window)]
        owners = torch.tensor([number for number, row in enumerate(rows) for _ in range(0, len(row) - 1, window)])
        device = self.decoder.tokens.weight.device
        exact = torch.zeros(len(rows), dtype=torch.float64, device=device)
        for places, inputs, targets in right_padded(windows, self.tokeniser.pad, device):
            terms = sequence_log_likelihood(self.decoder(inputs), self.decoder.output, targets)
            exact.index_add_(0, owners[places].to(device), terms.double())
        lengths = {"tokens": torch.tensor([len(row) - 1 for row in rows], device=device)}
        lengths["windows"] = torch.bincount(owners, minlength=len(rows)).to(device)
        return Score(log_weights=exact[None], log_likelihood=exact[None], lengths=lengths)

    @torch.no_grad()
    def last_words(self, items: Sequence[str]) -> LastWords:
        """Whether all tokens of the last word are the likeliest given those before (Paperno et al. 2016, LAMBADA).

        Only the last tokens that fit the positions are read. Raises GeneraError for a text of one word.
        """
        texts = readable(items)
        for number, text in enumerate(texts, 1):
            if len(text.split()) < 2:
                raise GeneraError(f"line {number}, {text[:40]!r}, has one word; the words before the last are needed.")
        whole = [ids[:-1] for ids in self.tokeniser.encode_batch(texts)]
        before = [ids[:-1] for ids in self.tokeniser.encode_batch([text.rsplit(maxsplit=1)[0] for text in texts])]
        pairs = zip(whole, before, strict=True)
        counts = torch.tensor([len(ids) - shared_prefix(ids, start) for ids, start in pairs])
        device = self.decoder.tokens.weight.device
        wrong = torch.zeros(len(texts), dtype=torch.int64, device=device)
        nats = torch.zeros(len(texts), dtype=torch.float64, device=device)
        rows = [ids[-self.decoder.size.positions - 1 :] for ids in whole]
        for places, inputs, targets in right_padded(rows, self.tokeniser.pad, device):
            ends = (targets != IGNORED).sum(1, keepdim=True)
            after = torch.arange(targets.shape[1], device=device) - (ends - counts[places, None].to(device))
            row, column = ((after >= 0) & (targets != IGNORED)).nonzero(as_tuple=True)
            p = self.decoder.logits(self.decoder(inputs)[row, column]).float().log_softmax(-1)
            wanted, owner = targets[row, column], places.to(device)[row]
            wrong.index_add_(0, owner, (p.argmax(-1) != wanted).long())
            nats.index_add_(0, owner, -p.gather(1, wanted[:, None])[:, 0].double())
        return LastWords(right=wrong == 0, nats=nats)

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
