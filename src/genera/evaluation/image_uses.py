"""What image models are used for, and how the diagnosis judges it: generated images, classes, reconstructions."""

from functools import partial

from genera.evaluation.verdict import Check, Use, share

_share_of_real = partial(share, worst_is="none", best_is="real images")
_FEW_KINDS = (
    "The images are near real ones, but of few kinds. Truncation has this effect; without it, the model has lost modes."
)

IMAGES = Use(
    name="generated images",
    checks=(
        Check(
            measure="fid_equal",
            question="quality",
            worst="fid_noise",
            worst_is="pixel noise",
            also=(("the mean image", "fid_mean_image"), ("an untrained model", "fid_untrained")),
            best="fid_of_data",
            best_is="real images",
            scale="log",
            span=0.5,
        ),
        share(
            "valid_images",
            "quality",
            worst_is="none",
            best_is="all",
            poor=0.5,
            advice="Most images are none that the world can have rendered. The model is not trained yet, or its "
            "training has diverged. Precision can be high all the same: it only asks whether features lie near those "
            "of some real image.",
        ),
        _share_of_real("precision", "quality", best="precision_of_data"),
        Check(
            measure="copies",
            question="novelty",
            worst=1.0,
            best="copies_of_data",
            worst_is="training images",
            best_is="real images",
            unit="share",
            poor=0.5,
            span=0.05,
            advice="The model repeats its training images: see the nearest ones in the report. More data, augmentation "
            "or an earlier checkpoint help. FID against the training images rewards memorisation.",
        ),
        _share_of_real("recall", "variety", best="recall_of_data", advice=_FEW_KINDS),
        _share_of_real("coverage", "variety", best="coverage_of_data", advice=_FEW_KINDS),
        Check(
            measure="factor_distance",
            question="variety",
            worst=1.0,
            best=0.0,
            worst_is="other values only",
            best_is="as in the data",
            unit="share",
            poor=0.5,
            advice="Some values of the data occur far too often or too rarely: see their histograms in the report.",
        ),
        share(
            "rarest_value",
            "variety",
            worst_is="never",
            best_is="as in the data",
            good=0.3,
            poor=0.2,
            advice="A value of the data is nearly missing: see the histograms in the report. A classifier that "
            "confuses classes hides part of it.",
        ),
    ),
    questions=("quality", "variety", "novelty"),
    names={
        "fid_equal": "FID",
        "valid_images": "valid images",
        "precision": "precision",
        "copies": "near copies of training images",
        "recall": "recall",
        "coverage": "coverage",
        "factor_distance": "distance of the histograms",
        "rarest_value": "frequency of the rarest value",
    },
    advice={
        "good": "The figures see what their features see, which may miss what matters to you: look at the images.",
        "fair": "Look at the images, and compare with a longer training run.",
        "poor": "The model is not trained yet, or its training has diverged: look at the images and at the training "
        "curves.",
        "unknown": "Measure with at least 100 generated and 100 held-out images (--fidelity.images, --split).",
    },
)

CLASSES = Use(
    name="class labels",
    checks=(
        Check(
            measure="class_accuracy",
            question="label",
            worst="class_accuracy_ignored",
            best="class_accuracy_of_data",
            worst_is="labels ignored",
            best_is="real images",
            unit="share",
            span=0.1,
        ),
    ),
    questions=("label",),
    names={"class_accuracy": "class accuracy"},
    advice={
        "good": "Images show the class that was asked for; whether they are good images is judged apart.",
        "fair": "Some classes are confused: look at the images of each class.",
        "poor": "Images do not show the class that was asked for: train longer, or give the discriminator the labels.",
        "unknown": "Measure with at least 100 images (--fidelity.images) of data with labels.",
    },
)

RECONSTRUCTIONS = Use(
    name="reconstructions",
    checks=(
        Check(
            measure="mse_reconstruction",
            question="likeness",
            worst="mse_of_mean_image",
            worst_is="the mean image",
            also=(("an untrained model", "mse_untrained"),),
            best=0.0,
            best_is="the image itself",
            good=0.7,
            poor=0.3,
        ),
        Check(
            measure="details_reconstruction",
            question="sharpness",
            worst="details_of_blur",
            worst_is="blurred images",
            best=1.0,
            best_is="the image itself",
            unit="share",
            good=0.4,
            poor=0.1,
            advice="Reconstructions are blurred: a larger --latent-size, a likelihood with a smaller scale, or more "
            "training.",
        ),
    ),
    questions=("likeness", "sharpness"),
    names={"mse_reconstruction": "squared error", "details_reconstruction": "details kept"},
    advice={
        "good": "Squared error and details are of pixels: look at whether what matters to you is kept.",
        "fair": "A larger --latent-size, or more training, brings reconstructions nearer.",
        "poor": "The reconstruction hardly depends on the image: let the latent carry information (a smaller --beta, "
        "free bits, a cyclical schedule), and train longer.",
        "unknown": "Measure at least 100 images (--reconstruction.items).",
    },
)

DIRECTION_TITLES = {"a2b": "from A to B", "b2a": "from B to A"}
"""Direction → words after the name of a use."""

TRANSLATIONS = Use(
    name="translations",
    checks=(
        Check(
            measure="kid",
            question="quality",
            worst="kid_of_source",
            worst_is="untranslated images",
            best="kid_of_target",
            best_is="real images of the target domain",
            advice="Look at the images. If they are copies of the source, the cycle and identity losses weigh too "
            "much; if they are broken, training was too short or has diverged.",
        ),
        share(
            "translation_valid",
            "quality",
            worst_is="none",
            best_is="all",
            poor=0.5,
            advice="Most translations are no images of the target domain. The model is not trained yet, or its "
            "training has diverged. A small error says little here: a correct background alone makes it small.",
        ),
        Check(
            measure="translation_domain",
            question="quality",
            worst="translation_domain_of_source",
            worst_is="untranslated images",
            best="translation_domain_of_data",
            best_is="real images of the target domain",
            unit="share",
            span=0.2,
        ),
        share(
            "coverage",
            "variety",
            worst_is="none",
            best="coverage_of_data",
            best_is="real images of the target domain",
            advice="Translations look alike: many target images have none near them. Raise --cycle, or train longer.",
        ),
        *(
            Check(
                measure=f"translation_{name}",
                question="content",
                worst=f"translation_{name}_chance",
                worst_is="another image's",
                best=1.0,
                best_is="all",
                unit="share",
                advice="Translations are images of the target domain, but of the wrong content: raise --cycle.",
            )
            for name in ("shape", "colour")
        ),
        share(
            "content_returned",
            "content",
            worst_is="the mean image",
            best_is="all of it",
            good=0.7,
            poor=0.3,
            advice="The way back does not restore the source, so its content is lost: raise --cycle, or train longer.",
        ),
    ),
    questions=("quality", "variety", "content"),
    names={
        "kid": "KID",
        "translation_valid": "valid translations",
        "translation_domain": "recognised as target domain",
        "coverage": "coverage",
        "translation_shape": "correct shape",
        "translation_colour": "correct colour",
        "content_returned": "content that comes back",
    },
    advice={
        "good": "Only a world knows the true translation; elsewhere look at whether the content is the one you want "
        "kept.",
        "fair": "Look at the images, and compare with a longer training run.",
        "poor": "The model is not trained yet, or its training has diverged: look at the images and the training "
        "curves.",
        "unknown": "Measure with at least 100 images of each domain (--translation.images).",
    },
)
