"""Text from a decoder: many rows at once, one token at a time through a cache."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from genera.blocks.gpt2 import Gpt2
from genera.blocks.size import Decoding
from genera.errors import GeneraError


def generate(
    model: Gpt2,
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
    """Continue each row of `start` until its `end`, `decoding.max_tokens`, or the last position of the model.

    start: (B, T0) ids, T0 >= 1, one prompt length for all. forbid: ids that are never chosen.
    memory, embedding: as Gpt2.forward takes them. generator: on the model's device. The model is in eval mode.
    Returns the new ids alone, (B, T) int64: each row through its `end`, then `pad`; T is the longest row's. A row's
    ids depend on no other row, but for the random numbers that it is dealt.
    Raises GeneraError where the prompt does not fit the model's positions.
    """
    batch, prompt = start.shape
    positions = model.size.positions - (memory is not None)
    if prompt > positions:
        raise GeneraError(f"a prompt of {prompt} tokens does not fit the {positions} positions left; shorten it.")
    steps = min(decoding.max_tokens, positions - prompt + 1)
    uniform = torch.rand(batch, steps, generator=generator, device=start.device) if decoding.temperature else None
    banned = torch.tensor(forbid, dtype=torch.int64, device=start.device) if forbid else None
    # To look at what has ended makes the host wait for a GPU: there, look rarely.
    look = 8 if start.is_cuda else 1

    with torch.inference_mode():
        ids = start.new_full((batch, steps), pad)
        rows = torch.arange(batch, device=start.device)  # in the computation; the others have ended
        cache = model.cache(batch, prompt + steps - 1, memory)
        last = start
        for step in range(steps):
            logits = model.logits(model(last, embedding=embedding, cache=cache)[:, -1])
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
                    embedding = None if embedding is None else embedding[going]
                    for layer in cache:
                        layer.keep(going)

    # Computed out here, the result is a tensor that training may use.
    ends = ids == end
    after = ends.cumsum(1) > ends.long()
    return ids.masked_fill(after, pad)[:, : int((~after).sum(1).max())]


def choose(logits: Tensor, decoding: Decoding, uniform: Tensor | None) -> Tensor:
    """One token a row. logits: (B, V). uniform: (B,) numbers in [0, 1); None is greedy. Returns (B,) int64.

    Temperature first, then top-k, then top-p of what is left.
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
    # Inverse CDF: one number a row, where torch.multinomial draws one for each token and takes 20 times as long.
    cdf = p.cumsum(-1)
    index = torch.searchsorted(cdf, uniform[:, None] * cdf[:, -1:], right=True)
    return (index if tokens is None else tokens.gather(1, index)).squeeze(1)
