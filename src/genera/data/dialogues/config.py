"""Options of dialogue data."""

from dataclasses import dataclass

from genera.data.text.config import TokenConfig


@dataclass(frozen=True, kw_only=True)
class DialogueConfig(TokenConfig):
    """Dialogue data of a run, with optional style sentences. Each field is a command-line option. `limit` counts
    dialogues and style sentences; `max_words` and `max_tokens` drop long responses and style sentences, while long
    contexts are truncated."""

    data: str = "world:dialogues"
    """dialogues:PATH or world:dialogues; PATH is a file, a glob or a folder."""
    style: str | None = None
    """Sentences in the target style, for stylefusion: a text source such as text:PATH or world:dialogues-style."""
    max_turns: int = 10
    """Maximum turns of a context; earlier turns are cut."""
    max_context_tokens: int = 512
    """Maximum tokens of a context, begin token included; the earliest tokens are cut."""

    def check(self) -> list[str]:
        rules = [
            (self.max_turns >= 1, f"--max-turns must be at least 1, got {self.max_turns}"),
            (self.max_context_tokens >= 3, f"--max-context-tokens must be at least 3, got {self.max_context_tokens}"),
        ]
        return super().check() + [complaint for holds, complaint in rules if not holds]
