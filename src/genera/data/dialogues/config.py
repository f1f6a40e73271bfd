"""Where dialogues come from and how they are read."""

from dataclasses import dataclass

from genera.data.text.config import TokenConfig


@dataclass(frozen=True, kw_only=True)
class DialogueConfig(TokenConfig):
    """Dialogues of a run, and sentences in a style. Each field is a command-line option. Items are dialogues, and such
    sentences; limits of words and tokens are those of a response and of such a sentence, and a context is cut."""

    data: str = "world:dialogues"
    """dialogues:PATH or world:dialogues; PATH is a file, a glob or a folder."""
    style: str | None = None
    """Sentences in the style to take on, for stylefusion: a source of texts, such as text:PATH or
    world:dialogues-style."""
    max_turns: int = 10
    """Turns of a context: the last so many."""
    max_context_tokens: int = 512
    """Tokens of a context: its begin token and the last so many."""

    def check(self) -> list[str]:
        rules = [
            (self.max_turns >= 1, f"--max-turns must be at least 1, got {self.max_turns}"),
            (self.max_context_tokens >= 3, f"--max-context-tokens must be at least 3, got {self.max_context_tokens}"),
        ]
        return super().check() + [complaint for holds, complaint in rules if not holds]
