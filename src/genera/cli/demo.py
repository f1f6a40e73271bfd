"""`genera demo`: train, evaluate and report once on embedded data, in minutes."""

from dataclasses import dataclass
from pathlib import Path

from genera import worlds
from genera.cli.parsing import parse
from genera.console import say
from genera.engine import registry
from genera.evaluation.storage import Stored

SPEC = "optimus:nano"


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Train a small Optimus on the embedded captions world, measure it and write its report. Rerun it to resume."""

    out: Path = Path("runs/demo")
    """The run folder."""


def main(arguments: list[str]) -> None:
    command = parse(Demo, arguments, "demo")
    out = command.out
    _, config = registry.preset(SPEC)
    say(f"training {SPEC} on {config.data.data} into {out} (Ctrl-C stops; rerun the command to resume)")

    from genera.engine.train import train

    train(config, out)

    from genera.evaluation.evaluate import evaluate
    from genera.evaluation.storage import chosen
    from genera.report.page import write_report
    from genera.run import load

    evaluation = chosen(out) or evaluate(load(out))
    page = write_report(out)
    print(summary(evaluation, out, page))


def summary(evaluation: Stored, out: Path, page: Path) -> str:
    """The results in plain words, and what to try next."""
    figures = evaluation.values

    def share(name: str) -> str:
        return f"{figures[name]:.0%}"

    count = figures.n("exact_reconstruction")
    world = worlds.load("captions")
    start, end = world.sentences(2, seed=1, split="test")
    question = world.analogies(1, seed=1)[0]
    findings = "\n".join(f"  - {finding['finding']}" for finding in evaluation.diagnosis)
    return f"""
The demo is done: a text VAE that turns sentences into {figures["latent_size"]:.0f} numbers and back.
  {share("exact_reconstruction")} of {count:,} unseen sentences come back word for word,
  {share("grammatical_samples")} of the sentences drawn from the prior are grammatical and {share("novel")} are new,
  {share("analogy_exact")} of the analogies with one factor changed are answered exactly.
What the diagnosis says:
{findings}

The report: {page}

Try next:
  genera sample {out} --count 5
  genera interpolate {out} "{start}" "{end}"
  genera analogy {out} "{question.a}" "{question.b}" "{question.c}"
  genera train {SPEC} --data text:YOUR_FILE.txt --out runs/mine"""
