"""Definitions of the figures of images. Imports no torch."""

from genera.measures.definition import Definition

_IMAGES = "Generated images"
_SHOWN = "What the images show"
_TRAINING = "End of training"
TRANSLATION = "Translation"
_HEUSEL = "Heusel et al. 2017, GANs trained by a two time-scale update rule"
_KID = "Bińkowski et al. 2018, Demystifying MMD GANs"
_KYNKAANNIEMI = "Kynkäänniemi et al. 2019, Improved precision and recall"
_NAEEM = "Naeem et al. 2020, Reliable fidelity and diversity metrics"
_U_GAT_IT = "Kim et al. 2020, U-GAT-IT"

IMAGES = [
    # Generated images
    Definition(
        "fid",
        "FID",
        "distance",
        "lower",
        "Fréchet distance between the features of generated and of training images (of a translation: of held-out "
        "images of the target domain). It falls as more images are drawn: compare equal numbers and the same features "
        "only, and read it beside the FID of real images.",
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
        "fid_held_out",
        "FID to held-out images",
        "distance",
        "lower",
        "FID of generated against held-out real images, which are usually fewer, so that it lies above FID. Papers "
        "differ in which they report. A model that repeats its training images is near those alone.",
        _HEUSEL,
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
        "Mean KID over 100 random subsets of 1000 images (of half of them, where there are fewer than 2000); ± is the "
        "standard deviation over the subsets, as papers report it.",
        _KID,
        _IMAGES,
    ),
    Definition(
        "kid_blocks",
        "KID over blocks",
        "distance",
        "lower",
        "Mean KID over disjoint blocks of 100 images; ± is the standard error over the blocks.",
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
        TRANSLATION,
    ),
    Definition(
        "translation_domain",
        "Taken for the target domain",
        "share",
        "higher",
        "Share of translations that the in-domain classifier, which tells the two domains apart, takes for images of "
        "the target domain.",
        "",
        TRANSLATION,
    ),
    Definition(
        "translation_domain_of_source",
        "The same of the untranslated",
        "share",
        "neither",
        "How often it takes the source images themselves for images of the target domain.",
        "",
        TRANSLATION,
    ),
    Definition(
        "translation_domain_of_data",
        "The same of real images",
        "share",
        "neither",
        "How often it is right about real images of the target domain.",
        "",
        TRANSLATION,
    ),
    Definition(
        "translation_error",
        "Distance from the true translation",
        "share",
        "lower",
        "Mean absolute difference of pixels from the true translation, which the world knows, over their range.",
        "",
        TRANSLATION,
    ),
    Definition(
        "untranslated_error",
        "Distance of the untranslated",
        "share",
        "neither",
        "The same of the source images themselves: what doing nothing would get.",
        "",
        TRANSLATION,
    ),
    Definition(
        "translation_valid",
        "Valid translations",
        "share",
        "higher",
        "Share of translations that are, nearly, images of the target's world.",
        "",
        TRANSLATION,
    ),
    Definition(
        "translation_shape",
        "Shape kept",
        "share",
        "higher",
        "Share of translations that are valid and show the shape that they should.",
        "",
        TRANSLATION,
    ),
    Definition(
        "translation_colour",
        "Colour as it should be",
        "share",
        "higher",
        "Share of translations that are valid and show the colour that they should.",
        "",
        TRANSLATION,
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
