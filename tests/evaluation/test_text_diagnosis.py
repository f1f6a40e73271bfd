"""Every rule in both directions, on runs of a small text VAE whose state of health is known."""

import pytest

from genera.evaluation import evaluator
from genera.evaluation.registry import definition, evaluators
from genera.measures.schema import Figure, Figures

COMMON = {"latent_size": 32, "mi_ceiling": 7.6, "nll_floor": 16.72}
HEALTHY = COMMON | {
    "reconstruction": 4.67,
    "kl": 17.5,
    "elbo": -22.2,
    "iw_bound/K=10": -20.2,
    "iw_bound": -19.0,
    "au": 32,
    "mi": 7.52,
    "exact_reconstruction": 0.986,
    "grammatical_samples": 0.88,
    "likelihood_lost_on_swap": 60.0,
}
NO_FREE_BITS = COMMON | {
    "reconstruction": 14.9,
    "kl": 1.97,
    "elbo": -16.85,
    "iw_bound/K=10": -16.77,
    "iw_bound": -16.75,
    "au": 32,
    "mi": 1.86,
    "exact_reconstruction": 0.002,
    "grammatical_samples": 1.0,
    "likelihood_lost_on_swap": 4.0,
}
COLLAPSED = COMMON | {
    "reconstruction": 16.72,
    "kl": 0.01,
    "elbo": -16.73,
    "iw_bound/K=10": -16.73,
    "iw_bound": -16.73,
    "au": 0,
    "mi": -0.07,
    "exact_reconstruction": 0.0,
    "grammatical_samples": 1.0,
    "likelihood_lost_on_swap": 0.0,
}
AUTOENCODER = COMMON | {
    "reconstruction": 0.27,
    "kl": 144.0,
    "elbo": -144.3,
    "iw_bound/K=10": -139.0,
    "iw_bound": -136.0,
    "au": 32,
    "mi": 7.53,
    "exact_reconstruction": 0.966,
    "grammatical_samples": 0.0,
    "likelihood_lost_on_swap": 90.0,
}
RUNS = {"healthy": HEALTHY, "no free bits": NO_FREE_BITS, "collapsed": COLLAPSED, "autoencoder": AUTOENCODER}


def diagnose(values, lengths=None):
    figures = []
    for key, value in values.items():
        measure, _, samples = key.partition("/K=")
        figures.append(Figure(measure, value, None, 100, samples=int(samples) if samples else None))
    facts = {} if lengths is None else {"lengths": lengths}
    return evaluator.diagnose(Figures(figures, facts), list(evaluators().values()))


def fired(figures, words, lengths=None):
    return any(words in f.finding for f in diagnose(figures, lengths))


def without(figures, *names):
    return {name: value for name, value in figures.items() if name not in names}


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        ("Posterior collapse", {"collapsed"}),
        ("nearly unused", {"no free bits"}),
        ("The latent is used", {"healthy", "autoencoder"}),
        ("does not sample", {"autoencoder"}),
        ("samples well", {"healthy", "no free bits"}),
        ("saturated", {"healthy", "autoencoder"}),
        ("dimensions are unused", set()),
        ("not settled", {"autoencoder"}),
        ("impossible", set()),
    ],
)
def test_each_rule_fires_on_the_runs_it_is_about_and_on_no_other(words, runs):
    assert {name for name, figures in RUNS.items() if fired(figures, words)} == runs


def test_active_units_alone_neither_accuse_nor_acquit():
    assert fired(NO_FREE_BITS, "32 active units do not contradict")
    assert fired(COLLAPSED | {"au": 32}, "Posterior collapse")
    assert not fired(HEALTHY | {"au": 3}, "Posterior collapse")
    assert fired(HEALTHY | {"au": 3}, "29 of 32 latent dimensions are unused")


def test_a_decoder_that_ignores_a_large_kl_is_collapsed():
    assert fired(HEALTHY | {"likelihood_lost_on_swap": 0.1}, "Posterior collapse")
    assert not fired(HEALTHY | {"likelihood_lost_on_swap": 0.1}, "The latent is used")


def test_holes_show_without_a_world_too():
    assert fired(without(AUTOENCODER, "grammatical_samples"), "does not sample")
    for figures in (HEALTHY, NO_FREE_BITS, COLLAPSED):
        assert not fired(without(figures, "grammatical_samples"), "does not sample")


@pytest.mark.parametrize("bound", ["elbo", "iw_bound/K=10", "iw_bound", "log_likelihood"])
def test_a_bound_better_than_the_data_allows_is_called_out(bound):
    assert fired(COLLAPSED | {bound: -16.3}, "impossible")
    assert not fired(COLLAPSED | {bound: -16.65}, "impossible")  # the noise of a finite sample


def test_dependence_on_length():
    words = [4, 8, 12, 16, 20, 24]
    lost = {"words": words, "exact": [0.99, 0.95, 0.7, 0.4, 0.2, 0.05], "reconstruction_nats": [2] * 6}
    even = {"words": words, "exact": [0.9, 0.95, 0.9, 0.9, 0.9, 0.85], "reconstruction_nats": words}
    dearer = even | {"reconstruction_nats": [4, 8, 14, 22, 34, 48]}
    assert fired({}, "Long items are lost", lost)
    assert fired({}, "Errors grow with length", dearer)
    assert not diagnose({}, even)
    assert not diagnose({}, {name: values[:2] for name, values in lost.items()})


def test_rules_are_silent_without_their_figures():
    assert diagnose({}) == []
    assert diagnose({"kl": float("nan"), "elbo": float("inf"), "nll_floor": 16.7}) == []
    assert not fired({"kl": 2.0}, "nearly unused")  # reconstructions were not looked at


@pytest.mark.parametrize("figures", RUNS.values(), ids=RUNS)
def test_findings_are_ordered_and_carry_their_figures(figures):
    findings = diagnose(figures)
    order = ["warning", "good", "note"]
    assert [f.level for f in findings] == sorted((f.level for f in findings), key=order.index)
    for finding in findings:
        assert finding.advice
        assert finding.evidence
        assert all(
            figures[name] == value and definition(name.partition("/")[0]) for name, value in finding.evidence.items()
        )
