"""Initialisation from pretrained weights."""

from dataclasses import replace

import torch

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.pretrained import DECODERS, ENCODERS, find, load_weights, read_size
from genera.errors import GeneraError


def warm_start(model: Bert | Decoder, source: str) -> None:
    """Copy pretrained weights into `model`. Token embeddings beyond the pretrained vocabulary stay unchanged.

    source: a folder in Hugging Face layout or a hub name.
    Raises GeneraError when there is no such model, or its size differs from that of `model`.
    """
    folder = find(source)
    size = read_size(folder, ENCODERS if isinstance(model, Bert) else DECODERS)
    wanted = model.size
    if replace(size, vocabulary=wanted.vocabulary, dropout=wanted.dropout, init=wanted.init) != wanted:
        raise GeneraError(f"the weights of {source} have size {size}, but the model has {model.size}.")
    if size.vocabulary > model.size.vocabulary:
        raise GeneraError(
            f"{source} has {size.vocabulary} tokens, but the tokeniser has only {model.size.vocabulary}; "
            "give the tokeniser that belongs to these weights."
        )
    twin = Bert(size, pooler=model.pooler is not None) if isinstance(model, Bert) else Decoder(size)
    load_weights(twin, folder)
    with torch.no_grad():
        for parameter, pretrained in zip(model.parameters(), twin.parameters(), strict=True):
            parameter[: len(pretrained)].copy_(pretrained)
