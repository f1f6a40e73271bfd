"""Measures of how near generated or translated images are to real ones. Imports no torch."""

from functools import partial

from genera.measures.schema import Definition

_define = partial(Definition, group="Image fidelity")
_HEUSEL = "Heusel et al. 2017, GANs trained by a two time-scale update rule"
_KID = "Bińkowski et al. 2018, Demystifying MMD GANs"
_KYNKAANNIEMI = "Kynkäänniemi et al. 2019, Improved precision and recall"
_NAEEM = "Naeem et al. 2020, Reliable fidelity and diversity metrics"
_U_GAT_IT = "Kim et al. 2020, U-GAT-IT"

DISTANCES = (
    _define(
        "fid",
        "FID",
        "distance",
        "lower",
        "Fréchet distance between the features of generated images and of training images (of all images, where --data "
        "is not split); for translations, of held-out images of the target domain. FID falls as the number of images "
        "grows: compare only equal numbers of images and the same features, and read it beside the FID of real images.",
        _HEUSEL,
        headline=True,
    ),
    _define(
        "fid_infinity",
        "FID at infinity",
        "distance",
        "lower",
        "FID extrapolated to infinitely many generated images by a line through its values at growing numbers of "
        "images; ± is the error of that fit. FID minus this is the bias caused by the number of images.",
        "Chong & Forsyth 2020, Effectively unbiased FID",
    ),
    _define(
        "kid",
        "KID",
        "distance",
        "lower",
        "Squared maximum mean discrepancy between features, with a cubic kernel, over all pairs of images. It is "
        "unbiased: its mean does not depend on the number of images and is 0 for a perfect model.",
        _KID,
        headline=True,
    ),
    _define(
        "kid_blocks",
        "KID over blocks",
        "distance",
        "lower",
        "Mean KID over disjoint blocks of 100 images; ± is the standard error over the blocks.",
        _KID,
    ),
    _define(
        "kid_subsets",
        "KID over subsets",
        "distance",
        "lower",
        "Mean KID over 100 random subsets of 1000 images (of half of the images where there are fewer than 2000); ± is "
        "the standard deviation over the subsets, as papers report it.",
        _KID,
    ),
)
"""Of generated images to training images, and of translations to images of the target domain."""

U_GAT_IT = (
    _define(
        "kid_u_gat_it",
        "U-GAT-IT's KID (last tool)",
        "distance x 100",
        "lower",
        "100 · (0.02 · KID to the target + 0.98 · KID to the source) / 2 over blocks of 10 images, as in U-GAT-IT's "
        "tables. It mostly measures the distance from the source; do not compare it with KID.",
        _U_GAT_IT,
    ),
    _define(
        "kid_u_gat_it_early",
        "U-GAT-IT's KID (early tool)",
        "distance x 100",
        "lower",
        "100 · (KID to the target + KID to the source) / 2 over blocks of 10 images, from an earlier version of "
        "U-GAT-IT's tool; do not compare it with KID.",
        _U_GAT_IT,
    ),
)

_VARIETY = (
    _define(
        "precision",
        "Precision",
        "share",
        "higher",
        "Share of generated images that lie among the real ones: no farther from some real image than that image's 3rd "
        "nearest real neighbour. Low precision means bad images.",
        _KYNKAANNIEMI,
        headline=True,
    ),
    _define(
        "recall",
        "Recall",
        "share",
        "higher",
        "Share of real images that lie among the generated ones, measured as precision is. Low recall means that part "
        "of the data is never generated.",
        _KYNKAANNIEMI,
        headline=True,
    ),
    _define(
        "density",
        "Density",
        "ratio",
        "higher",
        "Number of real images that have a generated image no farther away than their 5th nearest real neighbour, over "
        "5; mean over generated images. About 1 for real images. A few outliers among the real images hardly change "
        "it.",
        _NAEEM,
    ),
    _define(
        "coverage",
        "Coverage",
        "share",
        "higher",
        "Share of real images that have a generated image no farther away than their 5th nearest real neighbour; about "
        "0.97 for real images.",
        _NAEEM,
    ),
)

VARIETY = tuple(
    d
    for measure in _VARIETY
    for d in (
        measure,
        _define(
            f"{measure.name}_of_data",
            f"{measure.title} of real images",
            measure.unit,
            "neither",
            f"{measure.title} of held-out real images, as a reference.",
            measure.source,
        ),
    )
)
"""Precision, recall, density and coverage, and the same of real images."""

GENERATED = (
    *DISTANCES[:2],
    _define(
        "fid_held_out",
        "FID to held-out images",
        "distance",
        "lower",
        "FID between generated and held-out real images. Held-out images are usually fewer than training images, which "
        "makes it higher than FID. Papers differ in which of the two they report. A model that repeats its training "
        "images does well on FID and badly here.",
        _HEUSEL,
    ),
    _define(
        "fid_of_data",
        "FID of real images",
        "distance",
        "neither",
        "FID between held-out real images and the same training images: the FID of a perfect model with that many "
        "images. Where fewer than 100 images are held out, it is of one half of the training images to the other.",
    ),
    _define(
        "fid_equal",
        "FID at equal numbers",
        "distance",
        "lower",
        "FID of as many generated images as the FID of real images is of, against the same training images: the two "
        "differ by the model alone.",
        _HEUSEL,
    ),
    *(
        _define(
            f"fid_{name}",
            f"FID of {title}",
            "distance",
            "neither",
            f"FID of {text} against the same training images: a baseline that takes no training.",
        )
        for name, title, text in (
            ("noise", "pixel noise", "images of uniform pixel noise"),
            ("mean_image", "the mean image", "the mean training image in place of every image"),
            ("untrained", "an untrained model", "images of the same model with fresh initial weights"),
        )
    ),
    _define(
        "fid_within_classes",
        "FID within classes",
        "distance",
        "lower",
        "Mean over classes of the FID between generated and real images of the class; ± is the spread over classes. "
        "With few images per class it is far too high: compare only equal numbers.",
        "Miyato & Koyama 2018, cGANs with projection discriminator",
    ),
    *DISTANCES[2:],
    _define(
        "kid_of_data",
        "KID of real images",
        "distance",
        "neither",
        "KID between held-out and training images; 0 up to noise.",
        _KID,
    ),
    _define(
        "inception_score",
        "Inception score",
        "classes",
        "higher",
        "How certain a classifier is of the class of each image, and how evenly the classes occur: from 1 to the "
        "number of classes. It does not see variety within a class and does not look at real images.",
        "Salimans et al. 2016, Improved techniques for training GANs",
    ),
    _define(
        "inception_score_of_data",
        "Inception score of real images",
        "classes",
        "neither",
        "Inception score of held-out real images.",
    ),
    *VARIETY,
    _define(
        "feature_size",
        "Feature size",
        "dimensions",
        "neither",
        "Number of dimensions of the features that images are compared by.",
    ),
)
"""Of generated images, and the same of held-out real images as a reference."""
