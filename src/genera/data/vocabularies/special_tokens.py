"""Begin and end of a text in a byte-level BPE vocabulary: tokens of its own, or appended ones. No torch."""

from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from tokenizers import Tokenizer

from genera.errors import GeneraError
from genera.files import read_json

SpecialTokens: TypeAlias = Literal["append", "own"]
"""append: <PAD>, <BOS> and <EOS> after the last token. own: the tokens that separate documents in pre-training."""

DOCUMENT_END = "<|endoftext|>"
"""Separates the documents of GPT-2 and most later models. Chat models have other tokens in tokenizer_config.json."""
CONFIGS = ("tokenizer_config.json", "special_tokens_map.json")


class Special(NamedTuple):
    """The special tokens of a tokeniser; several may be the same token."""

    pad: str
    bos: str
    eos: str


APPENDED = Special("<PAD>", "<BOS>", "<EOS>")


def own_tokens(tokenizer: Tokenizer, folder: Path, name: str) -> Special:
    """<|endoftext|> as begin and end, or the bos_token (if any) and eos_token of the configs in `folder`. The end token
    is padding too, since few vocabularies have a token for it.

    Raises GeneraError when the vocabulary has no such end token. name: for the message.
    """
    if tokenizer.token_to_id(DOCUMENT_END) is not None:
        return Special(DOCUMENT_END, DOCUMENT_END, DOCUMENT_END)
    config: dict[str, Any] = {}
    for file in CONFIGS:
        if (folder / file).exists():
            config = read_json(folder / file) | config
    begin, end = (_content(config.get(f"{which}_token")) for which in ("bos", "eos"))
    if end is None or tokenizer.token_to_id(end) is None:
        named = f"its eos_token {end!r} is not in the vocabulary" if end else f"{CONFIGS[0]} names no eos_token"
        raise GeneraError(
            f"{name} has no usable end-of-text token: it has no {DOCUMENT_END}, and {named}. Set eos_token in "
            f"{CONFIGS[0]}, or use --special-tokens append, which adds {', '.join(APPENDED)} to the vocabulary."
        )
    return Special(end, begin if begin is not None and tokenizer.token_to_id(begin) is not None else end, end)


def saved_as(folder: Path) -> SpecialTokens:
    """How the tokeniser in a folder written by genera (a run's or an export) has its special tokens."""
    file = folder / CONFIGS[0]
    return "own" if file.exists() and _content(read_json(file).get("eos_token")) != APPENDED.eos else "append"


def _content(token: Any) -> str | None:
    """A token in these files is a string, or a mapping with its content."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None
