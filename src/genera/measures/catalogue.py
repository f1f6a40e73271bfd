"""What every figure of an evaluation means: one definition each, for tables and reports. Imports no torch."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from genera.errors import unknown


@dataclass(frozen=True)
class Definition:
    name: str
    """its key in evaluation.json"""
    title: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    text: str
    """one or two sentences for somebody who has not read the paper"""
    source: str = ""
    group: str = "Other"


_LIKELIHOOD, _LATENT, _RECONSTRUCTION = "Likelihood", "Latent space", "Reconstruction"
_SAMPLES, _BETWEEN = "Samples from the prior", "Interpolation and analogy"
_IMAGES, _SHOWN, _TRAINING = "Generated images", "What the images show", "End of training"
_TRANSLATION = "Translation"
_GUIDED = "Guided generation"

_NAVIGATION = "Navigation"

_R2R = "Anderson et al. 2018, Vision-and-language navigation"
_BURDA = "Burda et al. 2016, Importance weighted autoencoders"
_OPTIMUS = "Li et al. 2020, Optimus"
_HEUSEL = "Heusel et al. 2017, GANs trained by a two time-scale update rule"
_KID = "Bińkowski et al. 2018, Demystifying MMD GANs"
_KYNKAANNIEMI = "Kynkäänniemi et al. 2019, Improved precision and recall"
_NAEEM = "Naeem et al. 2020, Reliable fidelity and diversity metrics"
_U_GAT_IT = "Kim et al. 2020, U-GAT-IT"

_DEFINITIONS = [
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
    # Navigation
    Definition(
        "TL",
        "Trajectory length",
        "m",
        "neither",
        "Mean length of the trajectories along the graph.",
        _R2R,
        _NAVIGATION,
    ),
    Definition(
        "NE",
        "Navigation error",
        "m",
        "lower",
        "Mean distance along the graph from where the agent stopped to the goal. Goals that no way leads to are "
        "left out and counted.",
        _R2R,
        _NAVIGATION,
    ),
    Definition(
        "SR",
        "Success rate",
        "share",
        "higher",
        "Share of the episodes that end less than 3 m from the goal (HANNA: at most 2 m from the nearest goal).",
        _R2R,
        _NAVIGATION,
    ),
    Definition(
        "OSR",
        "Oracle success rate",
        "share",
        "higher",
        "Share of the trajectories that pass less than 3 m from the goal, wherever they end.",
        _R2R,
        _NAVIGATION,
    ),
    Definition(
        "SPL",
        "Success weighted by path length",
        "share",
        "higher",
        "Success times the shortest length over the length walked, if that is longer. The shortest way counts, "
        "not the annotated one.",
        "Anderson et al. 2018, On evaluation of embodied navigation agents",
        _NAVIGATION,
    ),
    Definition(
        "nDTW",
        "Likeness to the reference",
        "share",
        "higher",
        "exp(−DTW / (3 m · nodes of the reference)): 1 for walking the reference itself, by dynamic time warping.",
        "Ilharco et al. 2019, General evaluation for instruction conditioned navigation",
        _NAVIGATION,
    ),
    Definition(
        "SDTW",
        "Successful likeness to the reference",
        "share",
        "higher",
        "nDTW where the episode succeeded, else 0.",
        "Ilharco et al. 2019, General evaluation for instruction conditioned navigation",
        _NAVIGATION,
    ),
    Definition(
        "CLS",
        "Coverage weighted by length score",
        "share",
        "higher",
        "How much of the reference is passed closely, times how well the length fits what was covered.",
        "Jain et al. 2019, Stay on the path",
        _NAVIGATION,
    ),
    Definition(
        "goal_progress",
        "Goal progress",
        "m",
        "higher",
        "Mean metres by which the goal region came nearer; negative for going away.",
        "Thomason et al. 2019, Vision-and-dialog navigation",
        _NAVIGATION,
    ),
    Definition(
        "requests",
        "Help requests",
        "per episode",
        "lower",
        "Mean number of times that the agent asked for help.",
        "Nguyen & Daumé 2019, Help, Anna!",
        _NAVIGATION,
    ),
    # Generated images
    Definition(
        "fid",
        "FID",
        "distance",
        "lower",
        "Fréchet distance between the features of generated and of training images. It falls as more images are drawn: "
        "compare equal numbers and the same features only, and read it beside the FID of real images.",
        _HEUSEL,
        _IMAGES,
    ),
    Definition(
        "fid_infinity",
        "FID at infinity",
        "distance",
        "lower",
        "FID extrapolated to infinitely many generated images from its values at growing numbers; ± is that of the "
        "line. FID minus this is how much of FID is owed to the number of images alone.",
        "Chong & Forsyth 2020, Effectively unbiased FID",
        _IMAGES,
    ),
    Definition(
        "fid_of_data",
        "FID of real images",
        "distance",
        "neither",
        "FID of held-out real images against the same training images: what a perfect model would get with so many.",
        "",
        _IMAGES,
    ),
    Definition(
        "fid_within_classes",
        "FID within classes",
        "distance",
        "lower",
        "Mean over classes of the FID between generated and real images of that class; ± is the spread over classes. "
        "Few images a class make it far too high: compare equal numbers only.",
        "Miyato & Koyama 2018, cGANs with projection discriminator",
        _IMAGES,
    ),
    Definition(
        "kid",
        "KID",
        "distance",
        "lower",
        "Squared maximum mean discrepancy between features with a cubic kernel, over all pairs. Unbiased: it does not "
        "fall with the number of images, and equals 0 on average for a perfect model.",
        _KID,
        _IMAGES,
    ),
    Definition(
        "kid_of_data",
        "KID of real images",
        "distance",
        "neither",
        "KID of held-out real images; 0 up to noise.",
        _KID,
        _IMAGES,
    ),
    Definition(
        "kid_subsets",
        "KID over subsets",
        "distance",
        "lower",
        "Mean KID over 100 random subsets of 1000 images; ± is the standard deviation over the subsets, as papers "
        "report it.",
        _KID,
        _IMAGES,
    ),
    Definition(
        "kid_blocks",
        "KID over blocks",
        "distance",
        "lower",
        "Mean KID over disjoint blocks of images; ± is the standard error over the blocks.",
        _KID,
        _IMAGES,
    ),
    Definition(
        "kid_u_gat_it",
        "U-GAT-IT's KID (last tool)",
        "distance x 100",
        "lower",
        "100 (0.02 KID to the target + 0.98 KID to the source) / 2 over blocks of 10 images: the figure of U-GAT-IT's "
        "tables. Mostly the distance from the source; no ordinary KID.",
        _U_GAT_IT,
        _IMAGES,
    ),
    Definition(
        "kid_u_gat_it_early",
        "U-GAT-IT's KID (early tool)",
        "distance x 100",
        "lower",
        "100 (KID to the target + KID to the source) / 2 over blocks of 10 images; no ordinary KID.",
        _U_GAT_IT,
        _IMAGES,
    ),
    Definition(
        "inception_score",
        "Inception score",
        "classes",
        "higher",
        "How sure a classifier is of each image, and how evenly it uses its classes: from 1 to their number. Blind to "
        "variety within a class, and to the real images.",
        "Salimans et al. 2016, Improved techniques for training GANs",
        _IMAGES,
    ),
    Definition(
        "inception_score_of_data",
        "Inception score of real images",
        "classes",
        "neither",
        "The same of held-out real images.",
        "",
        _IMAGES,
    ),
    *(
        Definition(
            name + suffix,
            title + (" of real images" if suffix else ""),
            unit,
            "neither" if suffix else "higher",
            "The same of held-out real images: what to read it against." if suffix else text,
            source,
            _IMAGES,
        )
        for name, title, unit, text, source in (
            (
                "precision",
                "Precision",
                "share",
                "Share of generated images that lie within the real ones (in the ball to some real image's 3rd "
                "neighbour). Low: bad images.",
                _KYNKAANNIEMI,
            ),
            (
                "recall",
                "Recall",
                "share",
                "Share of real images that lie within the generated ones. Low: some of the data is never generated.",
                _KYNKAANNIEMI,
            ),
            (
                "density",
                "Density",
                "ratio",
                "In how many real images' balls a generated image lies, over 5; about 1 for real images, and no more "
                "than a few odd real images can raise it.",
                _NAEEM,
            ),
            (
                "coverage",
                "Coverage",
                "share",
                "Share of real images with a generated one among their 5 nearest; about 0.97 for real images.",
                _NAEEM,
            ),
        )
        for suffix in ("", "_of_data")
    ),
    Definition(
        "feature_size",
        "Features of an image",
        "dimensions",
        "neither",
        "Dimensions of the features that the figures above compare images by.",
        "",
        _IMAGES,
    ),
    Definition(
        "copies",
        "Closer than the data is to itself",
        "share",
        "lower",
        "Share of generated images that lie nearer to a training image than its own nearest training image does. Real "
        "images do so too, in the share below: well above it, the model repeats its training data.",
        "Alaa et al. 2022, How faithful is your synthetic data?",
        _IMAGES,
    ),
    Definition(
        "copies_of_data",
        "The same of real images",
        "share",
        "neither",
        "That share of held-out real images.",
        "",
        _IMAGES,
    ),
    # What the images show
    Definition(
        "valid_images",
        "Valid images",
        "share",
        "higher",
        "Share of generated images that are, nearly, images of the world.",
        "",
        _SHOWN,
    ),
    Definition(
        "class_accuracy",
        "Class as asked",
        "share",
        "higher",
        "Share of generated images that show the class that was asked for: by the world's own reading where there is "
        "one (an image that is none of the world's is wrong), else by a classifier that errs itself.",
        "",
        _SHOWN,
    ),
    Definition(
        "modes_covered",
        "Modes covered",
        "share",
        "higher",
        "Combinations of the world's named factors among the generated images, over those among as many real ones.",
        "",
        _SHOWN,
    ),
    Definition(
        "factor_distance",
        "Distance of the histograms",
        "share",
        "lower",
        "Total variation between how often each value occurs in generated images and in the data, mean over the "
        "factors: the share of images that would have to change their value.",
        "",
        _SHOWN,
    ),
    Definition(
        "rarest_value",
        "Rarest value",
        "ratio",
        "higher",
        "How often the most neglected value of a factor (or class) is generated, relative to the data: 0 is dropped, "
        "1 as often.",
        "",
        _SHOWN,
    ),
    # Translation
    Definition(
        "kid_of_source",
        "KID of the untranslated",
        "distance",
        "neither",
        "KID of the source images themselves to the target domain: what doing nothing would get.",
        "",
        _TRANSLATION,
    ),
    Definition(
        "translation_error",
        "Distance from the true translation",
        "share",
        "lower",
        "Mean absolute difference of pixels from the true translation, which the world knows, over their range.",
        "",
        _TRANSLATION,
    ),
    Definition(
        "untranslated_error",
        "Distance of the untranslated",
        "share",
        "neither",
        "The same of the source images themselves: what doing nothing would get.",
        "",
        _TRANSLATION,
    ),
    Definition(
        "translation_valid",
        "Valid translations",
        "share",
        "higher",
        "Share of translations that are, nearly, images of the target's world.",
        "",
        _TRANSLATION,
    ),
    Definition(
        "translation_shape",
        "Shape kept",
        "share",
        "higher",
        "Share of translations that are valid and show the shape that they should.",
        "",
        _TRANSLATION,
    ),
    Definition(
        "translation_colour",
        "Colour as it should be",
        "share",
        "higher",
        "Share of translations that are valid and show the colour that they should.",
        "",
        _TRANSLATION,
    ),
    # End of training
    Definition(
        "discriminator_gap",
        "Gap of the discriminator",
        "score",
        "neither",
        "Mean score of real minus that of generated images at the end of training. 0: the discriminator cannot tell; "
        "far above its loss's margin (2 for the hinge loss), it is always right and teaches little.",
        "",
        _TRAINING,
    ),
    Definition(
        "dictionary_usage",
        "Dictionary in use",
        "share",
        "higher",
        "Share of codes that some feature is nearest to, in the layer where it is smallest.",
        "",
        _TRAINING,
    ),
    Definition(
        "dictionary_perplexity",
        "Perplexity of the dictionary",
        "codes",
        "higher",
        "exp of the entropy of the codes' use, in the layer where it is smallest: how many codes do the work. About 1 "
        "or 2 is a collapsed dictionary.",
        "",
        _TRAINING,
    ),
]

CATALOGUE = {d.name: d for d in _DEFINITIONS}
"""Every definition under its name; a bound with K samples is named iw_bound_K, and a figure of translations of one
direction NAME_a2b or NAME_b2a."""


def definition(name: str) -> Definition:
    """The definition of a figure by its name (`iw_bound_K` for any K, `NAME_a2b`, `NAME_b2a`), or a GeneraError."""
    stem, _, way = name.rpartition("_")
    if way in ("a2b", "b2a") and stem in CATALOGUE:
        general = CATALOGUE[stem]
        title = f"{general.title}, {way[0].upper()} to {way[2].upper()}"
        return replace(general, name=name, title=title, group=_TRANSLATION)
    bound = re.fullmatch(r"iw_bound_([1-9]\d*)", name)
    if bound:
        general, samples = CATALOGUE["iw_bound"], bound[1]
        return replace(
            general,
            name=name,
            title=f"{general.title}, K = {samples}",
            text=general.text.replace("{K}", samples),
        )
    found = CATALOGUE.get(name)
    if found is None:
        raise unknown("measure", name, CATALOGUE)
    return replace(found, text=found.text.replace("{K}", "K"))
