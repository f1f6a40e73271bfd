"""Initialisation from pretrained weights, and the whole vocabulary of a trimmed model."""

from dataclasses import replace

import torch

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.pretrained import DECODERS, ENCODERS, Picked, find, load_weights, read_size
from genera.console import say
from genera.data.vocabularies.tokenisers import Tokeniser
from genera.errors import GeneraError


def warm_start(model: Bert | Decoder, source: str, tokeniser: Tokeniser) -> None:
    """Copy pretrained weights into `model`: its first layers, and the rows of its tokens. The rows of added tokens that
    the weights lack stay unchanged.

    source: a folder in Hugging Face layout or a hub name.
    Raises GeneraError when there is no such model, its size differs from that of `model`, or it has other tokens.
    """
    folder = find(source)
    size = read_size(folder, ENCODERS if isinstance(model, Bert) else DECODERS)
    wanted = model.size
    if size.layers < wanted.layers:
        part = "encoder" if isinstance(model, Bert) else "decoder"
        raise GeneraError(f"{source} has {size.layers} layers, not {wanted.layers}; set --{part}.layers {size.layers}.")
    of_model = {name: getattr(wanted, name) for name in ("vocabulary", "dropout", "init", "layers")}
    if replace(size, **of_model) != wanted:
        raise GeneraError(f"the weights of {source} have size {size}, but the model has {wanted}.")
    if size.layers > wanted.layers:
        say(f"of the {size.layers} layers of {source}, the first {wanted.layers} are used.")
    as_stored = size.vocabulary == wanted.vocabulary and tokeniser.trimming is None
    rows = None if as_stored else _rows(size.vocabulary, tokeniser, source)
    load_weights(model, folder, layers=size.layers, tokens=rows)


def _rows(stored: int, tokeniser: Tokeniser, source: str) -> Picked:
    """The rows of an embedding of `stored` tokens that belong to the tokens of `tokeniser`."""
    ids = torch.tensor(tokeniser.whole_ids)
    if stored > tokeniser.whole.size:
        raise GeneraError(
            f"{source} has {stored} tokens, but the tokeniser has only {tokeniser.whole.size}; "
            "give the tokeniser that belongs to these weights."
        )
    if unknown := [place for place in (ids >= stored).nonzero()[:, 0].tolist() if place not in tokeniser.added]:
        raise GeneraError(
            f"{source} has only {stored} tokens, but the tokeniser has {tokeniser.whole.size}, such as "
            f"{tokeniser.pieces(unknown[:1])[0]!r}; give the tokeniser that belongs to these weights."
        )
    present = (ids < stored).nonzero()[:, 0]
    return Picked(stored, ids[present], present)


def restored(decoder: Decoder, source: str | None, tokeniser: Tokeniser) -> Decoder:
    """The decoder of a trimmed vocabulary with the whole one: the rows of tokens that it lacks are those of `source`.

    Raises GeneraError when the source is not there or does not fit.
    """
    lacking = f"the {tokeniser.whole.size - tokeniser.size:,} tokens that --trim-vocabulary left out"
    if source is None:
        raise GeneraError(f"this run names no --pretrained-decoder with {lacking}; give --trimmed to export without.")
    with torch.device("meta"):
        whole = Decoder(replace(decoder.size, vocabulary=tokeniser.whole.size))
    whole.to_empty(device=decoder.tokens.weight.device)
    try:
        warm_start(whole, source, tokeniser.whole)
    except GeneraError as error:
        raise GeneraError(f"{lacking} cannot be restored: {error} Give --trimmed to export without them.") from None
    kept = torch.tensor(tokeniser.whole_ids, device=decoder.tokens.weight.device)
    with torch.no_grad():
        for (name, parameter), trained in zip(whole.named_parameters(), decoder.parameters(), strict=True):
            if name in ("tokens.weight", "head.weight"):
                parameter[kept] = trained
            else:
                parameter.copy_(trained)
    return whole
