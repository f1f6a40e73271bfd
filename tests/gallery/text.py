"""Text models by construction: writers, autoencoders and responders, on Yelp where $GENERA_DATA has it, else on the
captions world; and small trainings."""

import gzip
import hashlib
import os
import tempfile
from collections import Counter
from functools import cache, partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import genera
from gallery import Specimen, Truth
from genera.data.dialogues.corpus import DialogueCorpus
from genera.data.text.config import DataConfig
from genera.data.text.corpus import TextCorpus
from genera.engine.capabilities import Posterior, Score
from genera.engine.config import RunConfig, TrainConfig
from genera.engine.folder import RunFolder
from genera.engine.method import Method
from genera.evaluation.evaluate import evaluate
from genera.evaluation.settings import EvaluateConfig
from genera.evaluation.storage import Stored
from genera.files import write_text
from genera.measures.kneser_ney import SentenceModel
from genera.run import Run
from genera.testing.runs import configured
from genera.worlds import load

COUNT = 300
SIZES = {"train": 6000, "valid": 1000, "test": 1000}
FEW = {
    "likelihood": {"items": COUNT, "samples": 5},
    "latent": {"items": COUNT},
    "reconstruction": {"items": COUNT},
    "samples": {"count": COUNT, "items": COUNT},
    "interpolation": {"pairs": 20},
    "analogy": {"count": 20},
    "fluency": {"count": COUNT},
}
LATENT = 8


def sentences() -> list[str]:
    yelp = Path(os.environ.get("GENERA_DATA", "")) / "yelp_sentiment"
    if not yelp.is_dir():
        return load("captions").sentences(sum(SIZES.values()))
    lines = []
    for label in (0, 1):
        lines += gzip.decompress((yelp / f"sentiment.train.{label}.txt.gz").read_bytes()).decode().splitlines()
    order = np.random.default_rng(0).permutation(len(lines))
    return [lines[row] for row in order[: sum(SIZES.values())]]


@cache
def source() -> DataConfig:
    folder, lines, first = Path(tempfile.mkdtemp(prefix="gallery-")), sentences(), 0
    for split, size in SIZES.items():
        write_text(folder / f"sentences.{split}.txt", "\n".join(lines[first : first + size]) + "\n")
        first += size
    return DataConfig(data=f"text:{folder}/*.txt", vocabulary=2000)


@cache
def data() -> TextCorpus:
    return TextCorpus.open(source())


class Cached(TextCorpus):
    """The same corpus for all runs."""

    @classmethod
    def open(cls, config, assets=None, **options):
        return data()


@cache
def texts(split: str) -> list[str]:
    return data().items(split, SIZES[split])


@cache
def model() -> SentenceModel:
    return SentenceModel(texts("train"))


@cache
def words() -> np.ndarray:
    """All training words, as often as they occur."""
    return np.array(list(chain.from_iterable(map(str.split, texts("train")))))


def babble(count: int, draw: np.random.Generator) -> list[str]:
    """Sentences of independent words, as long as real ones."""
    return [" ".join(draw.choice(words(), len(sentence.split()))) for sentence in draw.choice(texts("valid"), count)]


def seeded(generator: torch.Generator) -> np.random.Generator:
    return np.random.default_rng(int(torch.randint(2**31, (), generator=generator, device=generator.device)))


class Made(Method):
    """In some state of health once `built`; as its constructor leaves it, it writes independent pieces of words."""

    dataset = Cached
    built = False

    def __init__(self, health: str, assets: object) -> None:
        super().__init__(None, assets)
        self.place = nn.Parameter(torch.zeros(1))
        self.health = health

    def pieces(self, count: int, draw: np.random.Generator) -> list[str]:
        tokeniser = self.assets.decoder
        return tokeniser.decode_batch(draw.integers(tokeniser.size, size=(count, 12)))

    def guess(self, items: list[str]) -> Tensor:
        """Nats of each sentence under a uniform guess of its tokens."""
        tokeniser = self.assets.decoder
        sizes = [len(ids) - 1 for ids in tokeniser.encode_batch(items)]
        return torch.tensor(sizes, dtype=torch.float64) * np.log(tokeniser.size)


class Writer(Made):
    """Draws sentences, and gives them nats."""

    def sample(self, count, *, generator=None, **options):
        draw = seeded(generator)
        if not self.built:
            return self.pieces(count, draw)
        real = [str(sentence) for sentence in draw.choice(texts("valid"), count, replace=False)]
        if self.health == "copies of the training set":
            return [str(sentence) for sentence in draw.choice(texts("train"), count, replace=False)]
        if self.health == "one sentence for all":
            return real[:1] * count
        if self.health == "twenty sentences":
            return [real[row] for row in draw.integers(20, size=count)]
        if self.health == "repeated words":
            return [" ".join([str(word)] * 9) for word in draw.choice(words(), count)]
        if self.health == "frequent words":
            frequent = [word for word, _ in Counter(words().tolist()).most_common(6)]
            return [" ".join(draw.choice(frequent, len(sentence.split()))) for sentence in real]
        if self.health == "independent words":
            return babble(count, draw)
        if self.health == "shuffled words":
            return [" ".join(draw.permutation(sentence.split())) for sentence in real]
        if self.health == "pieces of words":
            return self.pieces(count, draw)
        if self.health == "first words":
            return [" ".join(sentence.split()[:2]) for sentence in real]
        return real

    def score(self, items, samples, *, generator=None):
        nats = self.guess(items)
        if self.built and self.health == "real sentences":
            nats = torch.from_numpy(model().nats(items))
        elif self.built and self.health == "independent words":
            nats = torch.from_numpy(model().unigram_nats(items))
        elif self.built and self.health == "frequent words":
            nats = torch.from_numpy(1.5 * model().unigram_nats(items))
        return Score(-nats[None], -nats[None])


class Autoencoder(Made):
    """Each sentence has a place of its own in the latent space, and decoding gives the nearest sentence."""

    latent_size = LATENT

    def places(self, items) -> Tensor:
        rows = [
            np.random.default_rng(list(hashlib.sha256(item.encode()).digest())).normal(size=LATENT) for item in items
        ]
        far = 10 if self.health == "holes" else 1
        return far * torch.tensor(np.array(rows), dtype=torch.float32)

    @cache  # noqa: B019 (one gallery)
    def bank(self) -> tuple[list[str], Tensor]:
        known = [*texts("test")[: 2 * COUNT], *texts("valid")]
        return known, self.places(known)

    def encode(self, items):
        mean = self.places(items)
        return Posterior(mean, torch.full_like(mean, -8.0))

    def decode(self, z, *, generator=None, **options):
        draw = np.random.default_rng(0)
        if not self.built:
            return self.pieces(len(z), draw)
        known, places = self.bank()
        distance, nearest = torch.cdist(z, places).min(1)
        outputs = [known[row] for row in nearest]
        if self.health == "holes":
            garbage = babble(len(z), draw)
            outputs = [bad if far else good for far, good, bad in zip(distance > 2, outputs, garbage, strict=True)]
        elif self.health == "latent ignored":
            outputs = [str(sentence) for sentence in draw.choice(texts("valid"), len(z), len(z) > SIZES["valid"])]
        elif self.health == "one sentence for all":
            outputs = known[:1] * len(z)
        elif self.health == "shuffled words":
            outputs = [" ".join(draw.permutation(output.split())) for output in outputs]
        elif self.health == "half of the words":
            outputs = [
                " ".join(word if keep else str(draw.choice(words())) for word, keep in zip(split, kept, strict=True))
                for split in map(str.split, outputs)
                for kept in [draw.random(len(split)) < 0.5]
            ]
        elif self.health == "frequent words":
            frequent = [word for word, _ in Counter(words().tolist()).most_common(4)]
            outputs = [" ".join(draw.choice(frequent, len(output.split()))) for output in outputs]
        return outputs

    def sample(self, count, *, generator=None, **options):
        z = torch.randn(count, LATENT, generator=generator)
        if self.built and self.health == "the sentence itself":  # its prior is the set of places
            places = self.places(texts("valid"))
            z = places[torch.randperm(len(places), generator=generator)[:count]]
        return self.decode(z, generator=generator)

    def score_given(self, items, z):
        sizes = torch.tensor([len(item.split()) + 1 for item in items], dtype=torch.float64)
        if self.health in ("latent ignored", "one sentence for all"):
            return -5 * sizes
        wrong = torch.tensor([a != b for a, b in zip(self.decode(z), items, strict=True)])
        return -torch.where(wrong, 8.0, 0.2) * sizes


class Responder(Made):
    dataset = DialogueCorpus

    def respond(self, contexts, count, *, generator=None, **options):
        draw, world = seeded(generator), load("dialogues")
        right = [world.responses(context) for context in contexts]
        if self.health == "contexts ignored":
            right = [right[row] for row in draw.permutation(len(right))]
        if self.health == "one response for all":
            return [["thank you ."] * count for _ in contexts]
        answers = [[str(text) for text in draw.choice(each or ["thank you ."], count)] for each in right]
        if self.health == "shuffled words":
            return [[" ".join(draw.permutation(text.split())) for text in each] for each in answers]
        return answers


def run_of(method: Made, config: object, folder: Path) -> Run:
    """A run of a method that is not registered."""
    method.built = True
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "config.yaml", f"method: made\npreset: made\ndata: {{data: '{config.data}'}}\n")
    made = RunConfig(method="made", preset="made", data=config, train=TrainConfig(steps=1), model=method.health)
    return Run(RunFolder(folder), made, method.eval(), step=1)


def evaluated(kind: type[Made], health: str, folder: Path) -> Stored:
    return evaluate(run_of(kind(health, data().assets), source(), folder), **measured_by(kind))


def measured_by(kind: type) -> dict[str, dict[str, int]]:
    names = ("likelihood", "samples") if kind is Writer else ("latent", "reconstruction", "samples", "interpolation")
    return {name: FEW[name] for name in (*names, "fluency")}


def responded(health: str, folder: Path) -> Stored:
    config = configured("spacefusion:nano", {"data.data": "world:dialogues", "data.limit": 2000}).data
    method = Responder(health, DialogueCorpus.open(config).assets)
    return evaluate(run_of(method, config, folder), responses={"contexts": 120, "count": 5})


def trained(spec: str, steps: int, folder: Path, **options: object) -> Stored:
    """A small training of so many steps on the sentences."""
    torch.set_num_threads(1)
    config = genera.configure(
        spec, data=source().data, vocabulary=2000, warmup=min(50, steps), steps=steps, batch_size=32, log_every=500,
        validate_every=0, device="cpu", **options,
    )  # fmt: skip
    genera.train(config, folder / "run")
    run = genera.load(folder / "run", device="cpu")
    names = ("likelihood", "samples", "fluency") if spec.startswith("gpt2") else FEW
    return evaluate(run, measures=tuple(names), **{name: FEW[name] for name in names})


def shipped(folder: Path) -> Stored:
    """The model that comes with the package, on one of the worlds that it has learned."""
    return evaluate(genera.load("optimus-mini", device="cpu"), EvaluateConfig(data="world:captions"), **FEW)


# -- the gallery ------------------------------------------------------------------------------------------------------

SAMPLES, LIKELIHOODS, RECONSTRUCTIONS, INTERPOLATIONS = "samples", "likelihoods", "reconstructions", "interpolations"


def _writers() -> list[Specimen]:
    made: list[tuple[str, Truth, Truth | None]] = [
        ("real sentences", "sound", "sound"),
        ("copies of the training set", "broken", None),
        ("one sentence for all", "broken", None),
        ("twenty sentences", "broken", None),
        ("repeated words", "broken", None),
        ("frequent words", "broken", "broken"),
        ("independent words", "broken", "broken"),
        ("shuffled words", "broken", None),
        ("pieces of words", "broken", "broken"),
        ("first words", "broken", None),
    ]
    return [
        Specimen(
            "Samples of text",
            name,
            {SAMPLES: samples} | ({} if likelihoods is None else {LIKELIHOODS: likelihoods}),
            partial(evaluated, Writer, name),
        )
        for name, samples, likelihoods in made
    ]


def _autoencoders() -> list[Specimen]:
    made: list[tuple[str, Truth, Truth, Truth]] = [
        ("the sentence itself", "sound", "sound", "sound"),
        ("holes", "sound", "broken", "broken"),
        ("latent ignored", "broken", "broken", "sound"),
        ("one sentence for all", "broken", "broken", "broken"),
        ("shuffled words", "broken", "broken", "broken"),
        ("half of the words", "broken", "broken", "broken"),
        ("frequent words", "broken", "broken", "broken"),
    ]
    return [
        Specimen(
            "Autoencoders of text",
            name,
            {RECONSTRUCTIONS: reconstructions, INTERPOLATIONS: interpolations, SAMPLES: samples},
            partial(evaluated, Autoencoder, name),
        )
        for name, reconstructions, interpolations, samples in made
    ]


def _trained() -> list[Specimen]:
    every: dict[str, Truth] = dict.fromkeys((SAMPLES, LIKELIHOODS, RECONSTRUCTIONS, INTERPOLATIONS), "broken")
    language_model: dict[str, Truth] = {SAMPLES: "broken", LIKELIHOODS: "broken"}
    made = [
        ("gpt2-lm:nano, 1 step", language_model, partial(trained, "gpt2-lm:nano", 1), True),
        ("gpt2-lm:nano, 60 steps", language_model, partial(trained, "gpt2-lm:nano", 60), False),
        ("optimus:nano, 1 step", every, partial(trained, "optimus:nano", 1), True),
        ("optimus:nano, 60 steps", every, partial(trained, "optimus:nano", 60), False),
    ]
    return [Specimen("Small trainings on text", name, uses, how, poor) for name, uses, how, poor in made] + [
        Specimen(
            "Small trainings on text",
            "optimus-mini on captions",
            dict.fromkeys((RECONSTRUCTIONS, INTERPOLATIONS, LIKELIHOODS), "sound"),
            shipped,
        )
    ]


def _responders() -> list[Specimen]:
    made: list[tuple[str, Truth]] = [
        ("right responses", "sound"),
        ("contexts ignored", "broken"),
        ("one response for all", "broken"),
        ("shuffled words", "broken"),
    ]
    return [Specimen("Responses", name, {"responses": truth}, partial(responded, name)) for name, truth in made]


SPECIMENS = [*_writers(), *_autoencoders(), *_trained(), *_responders()]
