"""A conversation with a trained dialogue model, with its history."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genera.uses.run import Run


class Conversation:
    """Keeps the turns so far, alternately yours and the model's. Create a new one to start over."""

    def __init__(self, run: "Run", *, seed: int = 0, **options: Any) -> None:
        """options: how responses are decoded (temperature, top_k, top_p, max_tokens, beams, length_penalty)."""
        self.turns: list[str] = []
        self._run, self._seed, self._options = run, seed, options

    def say(self, text: str) -> str:
        """The model's response to `text` after all turns so far. Raises GeneraError for an empty turn, which is not
        added to the history."""
        (response,) = self._run.respond([*self.turns, text], 1, seed=self._seed + len(self.turns), **self._options)
        self.turns += [text.strip(), response]
        return response
