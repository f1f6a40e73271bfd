"""`genera completion SHELL`: a script that completes commands, presets, runs and options."""

import contextlib
import importlib
import io
import keyword
import re
from dataclasses import dataclass
from typing import Literal

from tyro.conf import Positional

from genera.cli.parsing import parse
from genera.errors import GeneraError

SCRIPTS = {
    "bash": """_genera() {
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}") cur="${COMP_WORDS[COMP_CWORD]}"
    if declare -F _get_comp_words_by_ref >/dev/null; then
        local line index; _get_comp_words_by_ref -n : -w line -i index -c cur; words=("${line[@]:1:index}")
    fi
    mapfile -t COMPREPLY < <(compgen -W "$(genera completion --words "${words[@]}" 2>/dev/null)" -- "$cur")
    if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "$cur"; fi
}
complete -o default -F _genera genera""",
    "zsh": """#compdef genera
_genera() {
    local -a found
    found=(${(f)"$(genera completion --words "${words[@]:1:$((CURRENT-1))}" 2>/dev/null)"})
    compadd -a found || _files
}
compdef _genera genera""",
    "fish": """function __genera
    set -l words (commandline -opc) (commandline -ct)
    genera completion --words $words[2..-1] 2>/dev/null
end
complete -c genera -a "(__genera)\"""",
}


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a completion script. Put it where your shell reads it:

    bash: genera completion bash >> ~/.bashrc

    zsh: genera completion zsh > "${fpath[1]}/_genera"

    fish: genera completion fish > ~/.config/fish/completions/genera.fish
    """

    shell: Positional[Literal["bash", "zsh", "fish"]]
    """The shell that you use."""


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--words"]:  # called by the script with the words typed so far; the last is unfinished
        print("\n".join(candidates(arguments[1:])))
        return
    print(SCRIPTS[parse(Completion, arguments, "completion").shell])


def candidates(words: list[str]) -> list[str]:
    """Completions of the last word."""
    from genera.cli.main import COMMANDS

    if len(words) < 2:
        return [*COMMANDS, "--help", "--version", "--quiet"]
    command, *given, last = words
    if command not in COMMANDS:
        return []
    if last.startswith("-"):
        return options(command, given)
    from genera.engine import registry
    from genera.engine.shipped import SHIPPED

    if command in ("train", "ablate", "import"):
        return [f"{name}:{preset}" for name, entry in registry.entries().items() for preset in entry.presets]
    return list(SHIPPED)  # the shell itself completes files


def options(command: str, given: list[str]) -> list[str]:
    """The options that the help of a command lists."""
    module = importlib.import_module(
        f"genera.cli.{command}_" if keyword.iskeyword(command) else f"genera.cli.{command}"
    )
    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit, GeneraError):
        module.main([*(word for word in given if not word.startswith("-")), "--help"])
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][\w.-]*", "\n".join(_invocations(page.getvalue())))))


def _invocations(page: str) -> list[str]:
    """The lines of a help page that begin with an option."""
    return [line for line in page.splitlines() if re.match(r"[│ ]*-", line)]
