"""Definitions of the figures of likelihood, latent space and sentences. Imports no torch."""

from genera.measures.definition import Definition

_LIKELIHOOD = "Likelihood"
_LATENT = "Latent space"
_RECONSTRUCTION = "Reconstruction"
_SAMPLES = "Samples from the prior"
_BETWEEN = "Interpolation and analogy"
_GUIDED = "Guided generation"
_BURDA = "Burda et al. 2016, Importance weighted autoencoders"
_OPTIMUS = "Li et al. 2020, Optimus"

TEXT = [
    # Likelihood
    Definition(
        "reconstruction",
        "Reconstruction term",
        "nats/item",
        "lower",
        "Mean of −log p(x|z) with z drawn from the item's own posterior: what is still unknown once z is "
        "given. The end of a sentence is counted, its beginning is not.",
        "Kingma & Welling 2014",
        _LIKELIHOOD,
    ),
    Definition(
        "elbo",
        "ELBO",
        "nats/item",
        "higher",
        "−(reconstruction term + KL): a lower bound on log p(x), negative. The gap to log p(x) is how far"
        " the encoder's posterior is from the true one.",
        "Kingma & Welling 2014",
        _LIKELIHOOD,
    ),
    Definition(
        "iw_bound",
        "Importance-weighted bound",
        "nats/item",
        "higher",
        "log of the mean importance weight p(x|z) p(z) / q(z|x) over {K} posterior samples: a lower bound"
        " on log p(x), negative, that never falls as samples are added. One sample is the ELBO.",
        _BURDA,
        _LIKELIHOOD,
    ),
    Definition(
        "log_likelihood",
        "Log-likelihood",
        "nats/item",
        "higher",
        "Exact log p(x) of a model without a latent, negative; stands where a latent model has a bound.",
        "",
        _LIKELIHOOD,
    ),
    Definition(
        "ppl_word",
        "Perplexity per word",
        "per word",
        "lower",
        "exp(nats of all items / number of words, one end of sentence each included), from the best bound"
        " measured. Comparable between models of the same sentences, whatever their vocabularies.",
        "",
        _LIKELIHOOD,
    ),
    Definition(
        "ppl_token",
        "Perplexity per token",
        "per token",
        "lower",
        "exp(nats of all items / number of predicted tokens, end of sentence included). Comparable only "
        "between models with the same vocabulary: finer tokens make it smaller without a better model.",
        "",
        _LIKELIHOOD,
    ),
    Definition(
        "nll_floor",
        "Entropy floor",
        "nats/item",
        "neither",
        "Mean −log p(x) of these items under the world that made them. No honest bound can be better than"
        " its negative on average; one that is has seen the answers or counts wrongly.",
        "",
        _LIKELIHOOD,
    ),
    # Latent space
    Definition(
        "kl",
        "KL to the prior",
        "nats/item",
        "neither",
        "Mean KL(q(z|x) ‖ p(z)), analytic, before any free bits: at most this many nats about an item "
        "pass through z. Near 0 the latent is not used; far more than the items hold, the prior no longer"
        " covers what is encoded.",
        "Kingma & Welling 2014",
        _LATENT,
    ),
    Definition(
        "likelihood_lost_on_swap",
        "Likelihood lost on a swap",
        "nats/item",
        "higher",
        "How much log p(x|z) drops when an item is decoded with another item's z. About 0 means that the "
        "decoder does not listen to z; it judges the use of z more safely than active units do.",
        "",
        _LATENT,
    ),
    Definition(
        "mi",
        "Mutual information",
        "nats",
        "higher",
        "Information between item and latent under the aggregated posterior of the M measured items. It "
        "cannot exceed ln M: near that ceiling it is saturated and tells models no further apart.",
        "Hoffman & Johnson 2016; " + _OPTIMUS,
        _LATENT,
    ),
    Definition(
        "mi_ceiling",
        "Ceiling of mutual information",
        "nats",
        "neither",
        "ln M, the most that mutual information over M items can show.",
        "",
        _LATENT,
    ),
    Definition(
        "au",
        "Active units",
        "dimensions",
        "higher",
        "Dimensions whose posterior mean has a variance over the items above 0.01. All may be active "
        "while the decoder ignores z: read it together with KL and the likelihood lost on a swap.",
        _BURDA,
        _LATENT,
    ),
    Definition(
        "latent_size",
        "Latent dimensions",
        "dimensions",
        "neither",
        "Size P of the latent vector z.",
        "",
        _LATENT,
    ),
    # Reconstruction
    Definition(
        "exact_reconstruction",
        "Exact reconstructions",
        "share",
        "higher",
        "Share of sentences that come back word for word when the posterior mean is decoded greedily.",
        "",
        _RECONSTRUCTION,
    ),
    Definition(
        "bleu_reconstruction",
        "BLEU of reconstructions",
        "0–100",
        "higher",
        "Corpus BLEU-4 of the reconstructions against their inputs (sacrebleu, 13a tokenisation).",
        "Papineni et al. 2002; Post 2018",
        _RECONSTRUCTION,
    ),
    Definition(
        "factor_accuracy_reconstruction",
        "Factors kept by reconstruction",
        "share",
        "higher",
        "Mean over the world's factors of the share of reconstructions that carry the input's value. An "
        "output that is not a sentence of the world is wrong in every factor.",
        "",
        _RECONSTRUCTION,
    ),
    # Samples
    Definition(
        "grammatical_samples",
        "Grammatical samples",
        "share",
        "higher",
        "Share of prior samples that the world could have said. Only a world whose grammar is known can tell.",
        "",
        _SAMPLES,
    ),
    Definition(
        "novel",
        "Novel samples",
        "share",
        "higher",
        "Share of prior samples that are not in the training set. High alone proves nothing: rubbish is novel too.",
        "",
        _SAMPLES,
    ),
    Definition(
        "distinct_1",
        "Distinct words",
        "share",
        "higher",
        "Different words over all words of the samples. Falls with the number of samples: compare equal numbers.",
        "Li et al. 2016, A diversity-promoting objective",
        _SAMPLES,
    ),
    Definition(
        "distinct_2",
        "Distinct word pairs",
        "share",
        "higher",
        "Different word pairs over all word pairs of the samples. Falls with the number of samples.",
        "Li et al. 2016, A diversity-promoting objective",
        _SAMPLES,
    ),
    Definition(
        "distinct_samples",
        "Distinct samples",
        "share",
        "higher",
        "Different sentences among the samples; a collapsed model decoded greedily says few.",
        "",
        _SAMPLES,
    ),
    Definition(
        "self_bleu",
        "Self-BLEU",
        "0–100",
        "lower",
        "Mean BLEU-4 of each sample against all the others: high when the samples repeat each other. "
        "Rises with the number of samples: compare equal numbers.",
        "Zhu et al. 2018, Texygen",
        _SAMPLES,
    ),
    Definition(
        "vocabulary_coverage",
        "Vocabulary covered",
        "share",
        "higher",
        "Share of the measured sentences' different words that also occur among the samples.",
        "",
        _SAMPLES,
    ),
    # Interpolation and analogy
    Definition(
        "grammatical_interpolations",
        "Grammatical interpolations",
        "share",
        "higher",
        "Share of the sentences on straight lines between two latents that the world could have said.",
        "",
        _BETWEEN,
    ),
    Definition(
        "monotone_interpolations",
        "Steps that do not turn back",
        "share",
        "higher",
        "Share of interpolation steps in which word overlap with the end minus overlap with the start does not fall.",
        "",
        _BETWEEN,
    ),
    Definition(
        "distinct_interpolations",
        "Distinct sentences on a path",
        "sentences",
        "higher",
        "Mean number of different sentences on an interpolation path, both ends included. Two means a jump.",
        "",
        _BETWEEN,
    ),
    Definition(
        "factor_accuracy_analogy",
        "Factor moved by analogy",
        "share",
        "higher",
        "Share of analogies A : B :: C : ? whose output carries the new value of the one factor that A "
        "and B differ in.",
        "",
        _BETWEEN,
    ),
    Definition(
        "analogy_exact",
        "Analogies solved exactly",
        "share",
        "higher",
        "Share of analogies whose output is the expected sentence: the changed factor moved and nothing else did.",
        "",
        _BETWEEN,
    ),
    # Guided generation
    Definition(
        "oracle_accuracy",
        "Label seen by a classifier",
        "share",
        "higher",
        "Share of guided samples in which a classifier (TF-IDF + logistic regression) sees the label that was asked "
        "for. It learns from labelled items that the guide never saw; chance is one over the number of labels.",
        _OPTIMUS,
        _GUIDED,
    ),
    Definition(
        "oracle_own_accuracy",
        "The classifier's own accuracy",
        "share",
        "neither",
        "How often that classifier is right about real test items: a guide is judged no better than by this judge.",
        "",
        _GUIDED,
    ),
    Definition(
        "true_factor_accuracy",
        "Label carried in truth",
        "share",
        "higher",
        "Share of guided samples whose factor has the value that was asked for, read off by the world's own grammar. "
        "A sample that is no sentence of the world carries nothing.",
        "",
        _GUIDED,
    ),
    Definition(
        "grammatical_guided",
        "Grammatical guided samples",
        "share",
        "higher",
        "Share of guided samples that the world could have said.",
        "",
        _GUIDED,
    ),
    Definition(
        "bleu_guided",
        "BLEU against the test set",
        "0–100",
        "higher",
        "Mean BLEU-4 of each guided sample with all test items as its references: does it sound like the data? Rises "
        "with the number of test items: compare equal numbers.",
        "Papineni et al. 2002; " + _OPTIMUS,
        _GUIDED,
    ),
    Definition(
        "g_score",
        "G-score",
        "share",
        "higher",
        "Geometric mean of the label seen by a classifier and of BLEU against the test set (as a share): steering "
        "must not cost fluency.",
        _OPTIMUS,
        _GUIDED,
    ),
    Definition(
        "self_bleu_guided",
        "Self-BLEU of guided samples",
        "0–100",
        "lower",
        "Mean BLEU-4 of each guided sample against all others of its label, averaged over labels: high when they "
        "repeat each other. Rises with their number: compare equal numbers.",
        "Zhu et al. 2018, Texygen",
        _GUIDED,
    ),
]
