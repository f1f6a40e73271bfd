"""Batched autoregressive decoding with a key-value cache: greedy, sampled, or by beam search."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Generator, Tensor

from genera.blocks.decoder import Decoder
from genera.blocks.decoding_options import Decoding
from genera.errors import GeneraError


class Writer(Protocol):
    """A decoder that generates B rows, with the tokens read so far in its cache."""

    def read(self, tokens: Tensor) -> Tensor:
        """Append tokens (B, T); returns the logits (B, V) of the next token."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Continue with these rows (R,), in this order. A row may repeat."""
        ...


class DecoderWriter:
    """`Writer` for GPT-2; memory and embedding as in `Decoder.forward`."""

    def __init__(
        self, model: Decoder, batch: int, length: int, memory: Tensor | None = None, embedding: Tensor | None = None
    ) -> None:
        self.model, self.embedding = model, embedding
        self.cache = model.cache(batch, length, memory)

    def read(self, tokens: Tensor) -> Tensor:
        return self.model.logits(self.model(tokens, embedding=self.embedding, cache=self.cache)[:, -1])

    def keep(self, rows: Tensor) -> None:
        self.embedding = None if self.embedding is None else self.embedding[rows]
        for layer in self.cache:
            layer.keep(rows)


def generate(
    model: Decoder,
    *,
    start: Tensor,
    decoding: Decoding,
    end: int,
    pad: int,
    forbid: Sequence[int] = (),
    memory: Tensor | None = None,
    embedding: Tensor | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Continue each row of `start` (B, T0) with a GPT-2, as `write` does, up to its last position.

    memory, embedding: as in `Decoder.forward`. Raises GeneraError when the prompt exceeds the number of positions.
    """
    writer, decoding = decoder_writer(model, start, decoding, memory, embedding)
    return write(writer, start=start, decoding=decoding, end=end, pad=pad, forbid=forbid, generator=generator)


def decoder_writer(
    model: Decoder, start: Tensor, decoding: Decoding, memory: Tensor | None = None, embedding: Tensor | None = None
) -> tuple[DecoderWriter, Decoding]:
    """A writer for prompts `start` (B, T0), and `decoding` with no more tokens than positions. As `generate`."""
    batch, prompt = start.shape
    slots = 0 if memory is None or not model.memory_has_position else memory.shape[3]
    positions = model.size.positions - slots
    if prompt > positions:
        raise GeneraError(f"a prompt of {prompt} tokens does not fit the {positions} positions left; shorten it.")
    decoding = replace(decoding, max_tokens=min(decoding.max_tokens, positions - prompt + 1))
    with torch.inference_mode():
        return DecoderWriter(model, batch, prompt + decoding.max_tokens - 1, memory, embedding), decoding


def write(
    writer: Writer,
    *,
    start: Tensor,
    decoding: Decoding,
    end: int,
    pad: int,
    forbid: Sequence[int] = (),
    generator: Generator | None = None,
) -> Tensor:
    """Continue each row of `start` until its `end` token or `decoding.max_tokens`.

    start: (B, T0) ids, T0 >= 1, all prompts of the same length. forbid: ids that are never chosen.
    generator: on the model's device. The model is in eval mode. With `decoding.beams`, see `beam_search`.
    Returns only the new ids, (B, T) int64: each row up to and including its `end`, then `pad`; T is the length of the
    longest row. Apart from its random numbers, a row does not depend on other rows.
    """
    if decoding.beams > 1:
        ids, _ = beam_search(writer, start=start, decoding=decoding, end=end, pad=pad, forbid=forbid)
        return trimmed(ids[:, 0], end, pad)
    batch, steps = len(start), decoding.max_tokens
    uniform = torch.rand(batch, steps, generator=generator, device=start.device) if decoding.temperature else None
    banned = torch.tensor(forbid, dtype=torch.int64, device=start.device) if forbid else None
    # Checking which rows have ended synchronises with the GPU, so check rarely there.
    look = 8 if start.is_cuda else 1

    with torch.inference_mode():
        ids = start.new_full((batch, steps), pad)
        rows = torch.arange(batch, device=start.device)  # still being generated; the others have ended
        last = start
        for step in range(steps):
            logits = writer.read(last)
            if banned is not None:
                logits[:, banned] = -torch.inf
            chosen = choose(logits, decoding, None if uniform is None else uniform[rows, step])
            ids[rows, step] = chosen
            last = chosen[:, None]
            if (step + 1) % look == 0:
                going = (ids[rows, : step + 1] != end).all(1).nonzero().squeeze(1)
                if len(going) == 0:
                    break
                if len(going) <= len(rows) // 2:  # worth copying the cache
                    rows, last = rows[going], last[going]
                    writer.keep(going)

    return trimmed(ids, end, pad)


def trimmed(ids: Tensor, end: int, pad: int) -> Tensor:
    """(B, T) → (B, T'): `pad` after the first `end` of each row, cut to the longest. Call it outside of inference mode,
    so that training can use the result."""
    ends = ids == end
    after = ends.cumsum(1) > ends.long()
    return ids.masked_fill(after, pad)[:, : int((~after).sum(1).max())]


def beam_search(
    writer: Writer, *, start: Tensor, decoding: Decoding, end: int, pad: int, forbid: Sequence[int] = ()
) -> tuple[Tensor, Tensor]:
    """The K = `decoding.beams` best continuations that a beam search finds for each row of `start` (B, T0), best first.

    Score: log p(tokens) / length^length_penalty, `end` included. A hypothesis that has ended keeps its place in the
    beam until K better ones are found; the search stops when all K have ended, or after `decoding.max_tokens`. One beam
    is greedy decoding. Arguments as `write`.
    Returns ids (B, K, T), `pad` after `end`, and scores (B, K), -inf where there are fewer than K continuations.
    """
    batch, beams, steps, device = len(start), decoding.beams, decoding.max_tokens, start.device
    banned = torch.tensor(forbid, dtype=torch.int64, device=device) if forbid else None
    look = 8 if start.is_cuda else 1  # as in `write`

    with torch.inference_mode():
        first = torch.arange(batch, device=device)[:, None] * beams  # the row of the writer with each beam's first
        logits = writer.read(start).repeat_interleave(beams, 0)
        writer.keep(torch.arange(batch, device=device).repeat_interleave(beams))
        ids = start.new_full((batch, beams, steps), pad)
        total = torch.full((batch, beams), -torch.inf, device=device)
        total[:, 0] = 0  # the beams of a row are alike at first: only one counts
        length = torch.ones_like(total)
        ended = torch.zeros_like(total, dtype=torch.bool)
        for step in range(steps):
            if banned is not None:
                logits[:, banned] = -torch.inf
            gains = logits.float().log_softmax(-1).view(batch, beams, -1)
            gains.masked_fill_(ended[..., None], -torch.inf)
            gains[..., pad] = torch.where(ended, 0.0, gains[..., pad])  # an ended hypothesis goes on at no cost
            totals = (total[..., None] + gains).flatten(1)
            length = length.masked_fill(~ended, step + 1)
            scores = totals / length.repeat_interleave(gains.shape[2], 1) ** decoding.length_penalty
            score, chosen = scores.topk(beams)
            origin, token = chosen // gains.shape[2], chosen % gains.shape[2]
            total, length, ended = totals.gather(1, chosen), length.gather(1, origin), ended.gather(1, origin)
            ids = ids.gather(1, origin[..., None].expand_as(ids))
            ids[..., step] = token
            ended |= token == end
            if (step + 1) % look == 0 and bool((ended | total.isinf()).all()):
                break
            if step + 1 < steps:
                writer.keep((first + origin).flatten())
                logits = writer.read(token.flatten()[:, None])
    return ids[..., : step + 1].clone(), score.clone()


def choose(logits: Tensor, decoding: Decoding, uniform: Tensor | None) -> Tensor:
    """One token per row. logits: (B, V). uniform: (B,) numbers in [0, 1); None is greedy. Returns (B,) int64.

    Applies the temperature, then top-k, then top-p.
    """
    if uniform is None:
        return logits.argmax(-1)
    logits, tokens = logits.float() / decoding.temperature, None
    if decoding.top_k or decoding.top_p < 1:
        vocabulary = logits.shape[-1]
        logits, tokens = logits.topk(min(decoding.top_k or vocabulary, vocabulary))
    p = logits.softmax(-1)
    if decoding.top_p < 1:
        p = p.masked_fill(p.cumsum(-1) - p >= decoding.top_p, 0)
    # Inverse CDF: one random number per row. torch.multinomial draws one per token and is 20 times slower.
    cdf = p.cumsum(-1)
    index = torch.searchsorted(cdf, uniform[:, None] * cdf[:, -1:], right=True)
    return (index if tokens is None else tokens.gather(1, index)).squeeze(1)
