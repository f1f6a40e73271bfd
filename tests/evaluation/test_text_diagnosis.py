"""Every rule in both directions, on figures of a small text VAE whose state of health is known; see test_gallery.py for
models that go through the evaluators."""

import pytest

from genera.evaluation import evaluator
from genera.evaluation.registry import definition, evaluators
from genera.measures.schema import Figure, Figures

COMMON = {
    "latent_size": 32, "mi_ceiling": 7.6, "log_likelihood_of_world": -16.72,
    "bleu_unrelated": 4.4, "bleu_untrained": 0.0, "distinct_inputs": 0.99,
    "ppl_word_unigram": 49.5, "ppl_word_trigram": 3.6, "ppl_word_untrained": 4680.0,
    "distinct_samples_data": 1.0, "distinct_2_data": 0.06, "self_bleu_data": 88.0, "novel_data": 1.0,
    "vocabulary_coverage_data": 1.0, "fluency_data": 3.5, "fluency_unigram": 2130.0, "fluency_shuffled": 2150.0,
}  # fmt: skip
VARIED = {
    "distinct_samples": 1.0, "distinct_2": 0.06, "self_bleu": 88.0, "novel": 0.99, "vocabulary_coverage": 1.0,
    "length_match": 0.95,
}  # fmt: skip
HEALTHY = COMMON | VARIED | {
    "reconstruction": 4.67, "kl": 17.5, "elbo": -22.2, "iw_bound/K=10": -20.2, "iw_bound": -19.0,
    "au": 32, "mi": 7.52, "exact_reconstruction": 0.986, "bleu_reconstruction": 99.0, "distinct_reconstructions": 0.99,
    "grammatical_samples": 0.88, "fluency_samples": 4.0, "ppl_word": 4.2,
    "grammatical_interpolations": 0.95, "fluency_interpolations": 3.7,
    "likelihood_lost_on_swap": 60.0, "swap_share": 0.93,
}  # fmt: skip
NO_FREE_BITS = COMMON | VARIED | {
    "reconstruction": 14.9, "kl": 1.97, "elbo": -16.85, "iw_bound/K=10": -16.77, "iw_bound": -16.75,
    "au": 32, "mi": 1.86, "exact_reconstruction": 0.002, "bleu_reconstruction": 12.0, "distinct_reconstructions": 0.01,
    "grammatical_samples": 1.0, "fluency_samples": 3.0, "ppl_word": 3.5,
    "grammatical_interpolations": 1.0, "fluency_interpolations": 3.0, "distinct_samples": 0.05, "self_bleu": 99.9,
    "likelihood_lost_on_swap": 4.0, "swap_share": 0.21,
}  # fmt: skip
COLLAPSED = COMMON | VARIED | {
    "reconstruction": 16.72, "kl": 0.01, "elbo": -16.73, "iw_bound/K=10": -16.73, "iw_bound": -16.73,
    "au": 0, "mi": -0.07, "exact_reconstruction": 0.0, "bleu_reconstruction": 4.0, "distinct_reconstructions": 0.001,
    "grammatical_samples": 1.0, "fluency_samples": 2.0, "ppl_word": 3.5,
    "grammatical_interpolations": 1.0, "fluency_interpolations": 2.0, "distinct_samples": 0.002, "self_bleu": 100.0,
    "likelihood_lost_on_swap": 0.0, "swap_share": 0.0,
}  # fmt: skip
AUTOENCODER = COMMON | VARIED | {
    "reconstruction": 0.27, "kl": 144.0, "elbo": -144.3, "iw_bound/K=10": -139.0, "iw_bound": -136.0,
    "au": 32, "mi": 7.53, "exact_reconstruction": 0.966, "bleu_reconstruction": 98.0, "distinct_reconstructions": 0.99,
    "grammatical_samples": 0.0, "fluency_samples": 900.0, "ppl_word": 45000.0,
    "grammatical_interpolations": 0.7, "fluency_interpolations": 12.0,
    "likelihood_lost_on_swap": 90.0, "swap_share": 0.997,
}  # fmt: skip
RUNS = {"healthy": HEALTHY, "no free bits": NO_FREE_BITS, "collapsed": COLLAPSED, "autoencoder": AUTOENCODER}


def diagnose(values, lengths=None):
    figures = []
    for key, value in values.items():
        measure, _, samples = key.partition("/K=")
        figures.append(Figure(measure, value, None, 500, samples=int(samples) if samples else None))
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
        ("Reconstructions are good", {"healthy", "autoencoder"}),
        ("Reconstructions are poor", {"no free bits", "collapsed"}),
        ("Interpolations are good", {"healthy"}),
        ("Interpolations are fair", {"autoencoder"}),
        ("Interpolations are poor", {"no free bits", "collapsed"}),
        ("Samples are good", {"healthy"}),
        ("Samples are poor", {"no free bits", "collapsed", "autoencoder"}),
        ("Likelihoods are good", {"healthy", "no free bits", "collapsed"}),
        ("Likelihoods are poor", {"autoencoder"}),
        ("saturated", {"healthy", "autoencoder"}),
        ("dimensions are unused", set()),
        ("not converged", {"autoencoder"}),
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
    assert fired(HEALTHY | {"swap_share": 0.001}, "Posterior collapse")
    assert fired(without(HEALTHY, "swap_share") | {"likelihood_lost_on_swap": 0.1}, "Posterior collapse")
    assert not fired(HEALTHY | {"swap_share": 0.001}, "Reconstructions are good")


def test_holes_show_by_the_bounds_where_samples_were_not_judged():
    unjudged = {"grammatical_samples", "fluency_samples"}
    assert fired(without(AUTOENCODER, *unjudged), "Samples are probably poor")
    for figures in (HEALTHY, NO_FREE_BITS, COLLAPSED):
        assert not fired(without(figures, *unjudged), "Samples are probably poor")
        assert not fired(without(figures, *unjudged), "Samples are good")


def advice(figures, use):
    return next(f.advice for f in diagnose(figures) if f.use == use and f.level == "warning")


def test_advice_fits_the_cause():
    assert "holes" in advice(AUTOENCODER, "samples")
    assert "cyclical" in advice(COLLAPSED, "samples")
    assert "free-bits" in advice(NO_FREE_BITS, "interpolations")
    undertrained = HEALTHY | {"bleu_reconstruction": 1.1, "exact_reconstruction": 0, "ppl_word": 45.0}
    assert "more steps" in advice(undertrained, "interpolations")
    assert "autoencoder" in advice(AUTOENCODER, "likelihoods")


def test_the_examples_that_were_once_praised():
    """Figures of real runs: a barely trained Optimus, an autoencoder of PTB, one of Flickr captions."""
    yelp = {
        "kl": 9.0, "likelihood_lost_on_swap": 7.0, "swap_share": 0.1, "exact_reconstruction": 0.0, "au": 32,
        "bleu_reconstruction": 1.1, "bleu_unrelated": 1.4, "distinct_reconstructions": 0.9, "distinct_inputs": 0.99,
        "self_bleu": 91.0, "self_bleu_data": 30.0, "vocabulary_coverage": 0.015, "vocabulary_coverage_data": 0.35,
        "ppl_word": 537.0, "ppl_word_unigram": 640.0, "ppl_word_trigram": 120.0,
    }  # fmt: skip
    levels = {finding.use: finding.level for finding in diagnose(yelp)}
    assert levels == dict.fromkeys(("reconstructions", "samples", "likelihoods", "interpolations"), "warning")
    ptb = {"ppl_word": 92270.0, "ppl_word_unigram": 711.0, "ppl_word_trigram": 169.0}
    assert fired(ptb, "Likelihoods are poor: perplexity per word 92,270 (independent words: 711")
    flickr = {"reconstruction": 52.9, "kl": 121.9, "exact_reconstruction": 0.0, "au": 32, "likelihood_lost_on_swap": 20}
    assert not [finding for finding in diagnose(flickr) if finding.level == "good"]
    assert fired(flickr, "Whether reconstructions are good is unknown")


def test_a_kl_alone_says_that_nothing_is_known():
    assert [f.level for f in diagnose({"kl": 3.5})] == ["note"]
    assert fired({"kl": 3.5}, "Whether reconstructions are good is unknown")


def test_a_bound_names_its_samples():
    figures = Figures(
        [Figure("iw_bound", -136.0, None, 500), Figure("iw_bound", -142.1, None, 500, samples=10)],
        {"importance_samples": 20},
    )
    (finding,) = [f for f in evaluator.diagnose(figures, list(evaluators().values())) if "converged" in f.finding]
    assert "20 samples give 6.1 nats more than 10" in finding.finding


@pytest.mark.parametrize("bound", ["elbo", "iw_bound/K=10", "iw_bound", "log_likelihood"])
def test_a_bound_better_than_the_data_allows_is_called_out(bound):
    assert fired(COLLAPSED | {bound: -16.3}, "impossible")
    assert not fired(COLLAPSED | {bound: -16.65}, "impossible")  # the noise of a finite sample


def test_a_likelihood_says_how_far_above_its_world_it_is_and_what_below_means():
    near = {"log_likelihood": -86.1, "log_likelihood_of_world": -77.3, "nats_above_world": 0.136}
    assert fired(near, "0.136 nats per token above the entropy of the world")
    assert fired(near, "near the least possible")
    assert not fired(near, "impossible")
    assert fired(near | {"nats_above_world": 1.2}, "there is more to learn")
    leak = {"log_likelihood": -76.5, "log_likelihood_of_world": -77.2, "nats_above_world": -0.011}
    assert fired(leak, "impossible")
    assert not fired(leak, "above the entropy of the world")


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
    assert diagnose({"kl": float("nan"), "elbo": float("inf"), "log_likelihood_of_world": -16.7}) == []
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
