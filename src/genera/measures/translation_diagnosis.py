"""Rules of the diagnosis that read figures of translations between two domains of images. Imports no torch."""

from collections.abc import Callable, Iterator

from genera.measures.finding import Figures, Finding, evidence

WAYS = {"a2b": "A to B", "b2a": "B to A"}


def _not_nearer(figures: Figures) -> Iterator[Finding]:
    for way, title in WAYS.items():
        made, before = figures.get(f"kid_{way}"), figures.get(f"kid_of_source_{way}")
        if made is None or before is None or made < 0.9 * before:
            continue
        yield Finding(
            "warning",
            f"{title}, translations are no nearer to the target domain than the untranslated images: KID {made:.3g} "
            f"against {before:.3g}.",
            evidence(figures, f"kid_{way}", f"kid_of_source_{way}", f"translation_domain_{way}", f"fid_{way}"),
            "Look at the images: copies of the source mean that cycle and identity weigh too much, broken images that "
            "training is too short or has broken down.",
        )


def _against_the_truth(figures: Figures) -> Iterator[Finding]:
    for way, title in WAYS.items():
        valid, shape, colour = (figures.get(f"translation_{name}_{way}") for name in ("valid", "shape", "colour"))
        if valid is None or shape is None or colour is None:
            continue
        names = [f"translation_{name}_{way}" for name in ("valid", "shape", "colour", "error")]
        used = evidence(figures, *names, f"untranslated_error_{way}")
        if valid < 0.5:
            yield Finding(
                "warning",
                f"{title}, {valid:.0%} of the translations are images of the target domain.",
                used,
                "Not trained yet, or training has broken down: more steps, and a look at the curves. A small distance "
                "from the true translation says little here: a right background alone brings it.",
            )
        elif shape < 0.5:
            yield Finding(
                "warning",
                f"{title}, the content is lost: {shape:.0%} of the translations keep the shape.",
                used,
                "The target is met by other images than asked for: raise --cycle.",
            )
        elif min(valid, shape, colour) > 0.8:
            yield Finding(
                "good",
                f"{title}, the translation is the true one: {shape:.0%} keep the shape, {colour:.0%} have the colour "
                "that they should.",
                used,
                "Found without a single pair.",
            )


RULES: list[Callable[[Figures], Iterator[Finding]]] = [_not_nearer, _against_the_truth]
