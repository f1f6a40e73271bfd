"""`genera chat RUN`: a conversation in the terminal, or with piped input, one turn per line."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse
from genera.cli.uses import DecodeOptions
from genera.console import say
from genera.data.files import lines_of


@dataclass(frozen=True, kw_only=True)
class Chat(DecodeOptions):
    """Talk with a dialogue model. It sees as many past turns as in training. An empty line starts a new conversation;
    Ctrl-D (end of input) quits."""

    run: Positional[Path]
    """The run folder."""


def main(arguments: list[str]) -> None:
    command = parse(Chat, arguments, "chat")
    from genera.uses.conversation import Conversation

    run, options = command.load(command.run), command.options()
    conversation = Conversation(run, **options)
    prompt = "> " if sys.stdin.isatty() else ""
    if prompt:
        say("Type a message. An empty line starts a new conversation; Ctrl-D quits.")
    turns = lines_of(sys.stdin.buffer, "standard input")
    while True:
        print(prompt, end="", flush=True)
        _, line = next(turns, ("", ""))
        if not line:
            break
        if not line.strip():
            conversation = Conversation(run, **options)
            continue
        response = conversation.say(line)
        told = {"turn": line.strip(), "response": response}
        print(json.dumps(told, ensure_ascii=False) if command.json else response)
