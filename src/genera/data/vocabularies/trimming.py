"""Cut a byte-level BPE tokeniser down to the tokens of a corpus. No torch.

The corpus is tokenised as before. Other texts fall into smaller pieces, at worst into bytes, so nothing is unknown.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tokenizers import Tokenizer, pre_tokenizers

from genera.errors import GeneraError
from genera.files import read_bytes, write_json, write_text
from genera.typed import read_typed

KEPT, WHOLE = "kept.json", "whole.json"


@dataclass(frozen=True)
class Trimming:
    """What a trimmed tokeniser was cut from."""

    kept: tuple[int, ...]
    """id in the whole tokeniser of each id in the trimmed one; ascending"""
    whole: str
    """the whole tokenizer.json"""

    def save(self, folder: Path) -> None:
        write_json(folder / KEPT, list(self.kept))
        write_text(folder / WHOLE, self.whole)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """None where `folder` holds a whole tokeniser."""
        if not (folder / KEPT).exists():
            return None
        kept = read_typed(folder / KEPT, list[int], "restore it")
        return cls(tuple(kept), read_bytes(folder / WHOLE).decode())


def trim(whole: str, used: Iterable[int], name: str) -> tuple[str, Trimming]:
    """The tokenizer.json `whole` with the tokens of these ids, the bytes, and the added tokens alone.

    Merges whose parts and result are kept stay, and with them the tokens that they pass through. Ids are numbered anew
    in their old order. Raises GeneraError when it is not a byte-level BPE. `name` is for messages.
    """
    entries: dict[str, Any] = json.loads(whole)
    if "ByteLevel" not in json.dumps(entries["pre_tokenizer"]):
        raise GeneraError(f"--trim-vocabulary needs a byte-level BPE tokeniser, and {name} is of another kind.")
    vocabulary: dict[str, int] = entries["model"]["vocab"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in entries["model"]["merges"]]
    added = {token["content"]: token["id"] for token in entries["added_tokens"]}
    chosen = set(used)
    kept = {token for token, i in vocabulary.items() if i in chosen}
    kept |= vocabulary.keys() & {*pre_tokenizers.ByteLevel.alphabet(), *added, entries["model"]["unk_token"]}
    kept = _with_parts(kept, merges)
    old = {i: token for token, i in vocabulary.items() if token in kept} | {i: token for token, i in added.items()}
    new = {token: place for place, (_, token) in enumerate(sorted(old.items()))}

    entries["model"]["vocab"] = {token: new[token] for token in vocabulary if token in kept}
    entries["model"]["merges"] = [list(m) for m in merges if m[0] in kept and m[1] in kept and "".join(m) in kept]
    for token in entries["added_tokens"]:
        token["id"] = new[token["content"]]
    entries["post_processor"] = None  # it names ids, and texts are encoded without it
    trimmed = json.dumps(entries, ensure_ascii=False)
    if Tokenizer.from_str(trimmed).get_vocab(with_added_tokens=True) != new:
        raise GeneraError(
            f"--trim-vocabulary cannot number the added tokens of {name}; train with the whole tokeniser."
        )
    return trimmed, Trimming(tuple(sorted(old)), whole)


def _with_parts(kept: set[str], merges: Sequence[tuple[str, ...]]) -> set[str]:
    """`kept` and the parts of every merge that makes one of them."""
    closed, before = set(kept), -1
    while len(closed) > before:  # one round suffices where merges follow those that make their parts
        before = len(closed)
        for merge in reversed(merges):
            if "".join(merge) in closed:
                closed.update(merge)
    return closed
