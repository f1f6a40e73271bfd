"""`genera chat RUN`: a conversation in the terminal, or with what is piped in, one turn a line."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genera.cli.parsing import parse
from genera.cli.uses import DecodeOptions
from genera.console import say


@dataclass(frozen=True, kw_only=True)
class Chat(DecodeOptions):
    """Talk with a dialogue model. It remembers the turns, as many as in training; an empty line begins anew, and the
    end of input (Ctrl-D) ends it."""

    run: Positional[Path]
    """The run folder."""


def main(arguments: list[str]) -> None:
    command = parse(Chat, arguments, "chat")
    from genera.uses.conversation import Conversation

    run, options = command.load(command.run), command.options()
    conversation = Conversation(run, **options)
    prompt = "> " if sys.stdin.isatty() else ""
    if prompt:
        say("Say something; an empty line begins anew, Ctrl-D ends.")
    while True:
        print(prompt, end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            break
        if not line.strip():
            conversation = Conversation(run, **options)
            continue
        response = conversation.say(line)
        told = {"turn": line.strip(), "response": response}
        print(json.dumps(told, ensure_ascii=False) if command.json else response)
