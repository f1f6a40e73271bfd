"""Where dialogues come from: `dialogues:PATH` and `world:dialogues`.

PATH is a file, a glob or a folder, plain or gzip, with splits as in `genera.data.splits`; a split without a file is
held out of the training dialogues. One dialogue per line, oldest turn first:

    How are you ? __eou__ Fine . And you ? __eou__     DailyDialog; anything after a tab (acts, emotions) is ignored
    How are you ?<TAB>Fine . And you ?                 turns between tabs
    ["How are you ?", "Fine . And you ?"]              *.jsonl: a list of turns, or {"turns": [...]}
    {"messages": [{"role": "user", "content": "…"}]}   *.jsonl: chat messages, whose speakers take turns
    {"context": ["How are you ?"], "responses": ["Fine .", "Tired ."]}   *.jsonl: several responses to one context
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from genera.data import registry
from genera.data.files import Line, hash_files, read_lines, split_files
from genera.data.splits import SPLITS, assign, in_order
from genera.errors import GeneraError
from genera.files import parse_json as json_value

END_OF_TURN = "__eou__"
WORLD_SIZES = {"train": 8_000, "valid": 500, "test": 500}


class Dialogue(NamedTuple):
    split: str
    turns: tuple[str, ...]
    responses: tuple[str, ...] = ()
    """Reference responses to the turns. If empty, each turn but the first is the response to the turns before it."""


class DialogueSource(Protocol):
    """Dialogues in a fixed order; can be iterated repeatedly."""

    @property
    def spec(self) -> str: ...

    @property
    def splits(self) -> tuple[str, ...]:
        """The named splits of the source; () if all dialogues are "train"."""
        ...

    @property
    def world(self) -> Any:
        """The world that the dialogues are drawn from, or None."""
        ...

    def dialogues(self) -> Iterator[Dialogue]:
        """All dialogues, nothing held out. Raises GeneraError with the file and line."""
        ...

    def fingerprint(self) -> str:
        """A hash of everything that the dialogues depend on."""
        ...


def parse_dialogues(spec: str) -> DialogueSource:
    """The source named by `spec` ("scheme:rest"). Raises GeneraError when it does not exist."""
    scheme, rest = registry.split_spec(spec, "dialogues")
    source: DialogueSource = registry.opener(scheme, "dialogues")(spec, rest)
    return source


def dialogues_of(source: DialogueSource, whole: bool = False) -> Iterator[Dialogue]:
    """Dialogues with their final splits: splits that the source does not name are held out of its training dialogues.
    whole: nothing is held out, and dialogues of a source without named splits form the split `WHOLE`."""
    return assign(source.dialogues(), source.splits, _content, source.spec, whole)


def _content(dialogue: Dialogue) -> bytes:
    return "\t".join(dialogue.turns).encode()


def open_world(spec: str, rest: str) -> "WorldDialogues":
    return WorldDialogues(spec, registry.load_world(rest))


def open_files(spec: str, rest: str) -> "DialogueFiles":
    return DialogueFiles(spec, split_files(rest))


@dataclass(frozen=True)
class WorldDialogues:
    """Dialogues drawn from a world with seed 0, regardless of the training seed."""

    spec: str
    world: Any
    splits = SPLITS

    def dialogues(self) -> Iterator[Dialogue]:
        for split, count in WORLD_SIZES.items():
            yield from (Dialogue(split, turns) for turns in self.world.dialogues(count, split=split))

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((self.world, WORLD_SIZES)).encode()).hexdigest()


@dataclass(frozen=True)
class DialogueFiles:
    spec: str
    files: tuple[tuple[str, Path], ...]
    """(split, file), training files first"""
    world = None

    @property
    def splits(self) -> tuple[str, ...]:
        return in_order(dict(self.files))

    def dialogues(self) -> Iterator[Dialogue]:
        for split, path in self.files:
            parse = parse_json if ".jsonl" in path.suffixes else parse_text
            for line in read_lines(path):
                if line.text.strip():
                    yield Dialogue(split, *parse(line))

    def fingerprint(self) -> str:
        return hash_files("dialogues", self.files)


Turns = tuple[str, ...]


def parse_text(line: Line) -> tuple[Turns, Turns]:
    """(turns, no responses) of a line. Raises GeneraError for an empty turn and for a dialogue of one turn."""
    if END_OF_TURN in line.text:
        turns = line.text.partition("\t")[0].split(END_OF_TURN)
        turns = turns if turns[-1].strip() else turns[:-1]
    else:
        turns = line.text.rstrip("\r\n").split("\t")
    return _checked(line.where, turns), ()


def parse_json(line: Line) -> tuple[Turns, Turns]:
    """(turns, responses) of a line. Raises GeneraError as `parse_text` does, and for JSON that is not a dialogue."""
    try:
        record = json_value(line.text)
    except ValueError as error:
        raise GeneraError(f"{line.where} is not JSON ({error}).") from None
    if isinstance(record, dict) and "context" in record:
        context, responses = _strings(line.where, record["context"]), _strings(line.where, record.get("responses"))
        return _checked(line.where, context, least=1), _checked(line.where, responses, "response", least=1)
    if isinstance(record, dict) and "messages" in record:
        messages = record["messages"]
        if not isinstance(messages, list) or not all(isinstance(m, dict) and "content" in m for m in messages):
            raise GeneraError(f"{line.where}: the messages are not a list of objects with a field 'content'.")
        record = [message["content"] for message in messages]
    elif isinstance(record, dict):
        record = record.get("turns")
    return _checked(line.where, _strings(line.where, record)), ()


def _strings(where: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(turn, str) for turn in value):
        raise GeneraError(
            f'{where} is not a dialogue; write a list of turns, {{"turns": [...]}}, {{"messages": [...]}} or '
            '{"context": [...], "responses": [...]}, all of strings.'
        )
    return value


def _checked(where: str, turns: list[str], what: str = "turn", least: int = 2) -> Turns:
    stripped = tuple(turn.strip() for turn in turns)
    if "" in stripped:
        raise GeneraError(
            f"{where}: {what} {stripped.index('') + 1} of {len(stripped)} is empty; fill it in or remove it."
        )
    if len(stripped) < least:
        count = "a single turn" if stripped else f"no {what}"
        need = "a dialogue needs at least two" if what == "turn" and least == 2 else "at least one is needed"
        raise GeneraError(f"{where} has {count}; {need}.")
    return stripped
