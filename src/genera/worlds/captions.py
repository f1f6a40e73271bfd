"""Short captions with labelled factors: subject, clothing, action, object, place, time and sentiment."""

from genera.worlds.grammar import World

CAPTIONS = World(
    name="captions",
    template=(
        "{determiner} {subject} [in {colour} {garment}] {tense} [{sentiment}] {action} a {object} "
        "{relation} the {place} [{time}] ."
    ),
    words={
        "determiner": {"indefinite": "a|some", "definite": "the|the"},
        "number": {"singular": "", "plural": ""},
        "subject": (
            "man|men woman|women child|children farmer|farmers sailor|sailors artist|artists engineer|engineers "
            "nurse|nurses dancer|dancers waitress|waitresses thief|thieves actor|actors"
        ),
        "colour": "red blue green yellow black orange",
        "garment": "boots gloves jeans shorts overalls sandals",
        "tense": {"present": "is|are", "past": "was|were"},
        "sentiment": {"positive": "happily", "negative": "angrily"},
        "action": "carrying holding painting cleaning hiding selling fixing watching",
        "object": "guitar bicycle umbrella ladder kite suitcase drum camera armchair accordion",
        "relation": "near behind outside inside",
        "place": "museum station library church castle school bakery airport",
        "time": "at_dawn at_midnight on_sunday in_winter",
    },
)

CAPTIONS_SMALL = World(
    name="captions-small",
    template=(
        "{determiner} {subject} [in a {colour} {garment}] {number} {action} the {object} {relation} the {place} "
        "[{time}] ."
    ),
    words={
        "determiner": {"first": "a|two", "second": "the|three", "third": "one|many"},
        "number": {"singular": "is|is", "plural": "are|are"},
        "subject": (
            "boy|boys girl|girls dog|dogs cat|cats farmer|farmers sailor|sailors teacher|teachers singer|singers "
            "doctor|doctors pilot|pilots baker|bakers robot|robots"
        ),
        "colour": "red blue green yellow black white brown purple",
        "garment": "hat scarf coat shirt jacket sweater",
        "action": "holding carrying painting watching cleaning hiding chasing pulling kicking lifting",
        "object": "ball guitar bicycle basket kite ladder lamp drum bottle camera suitcase wheel",
        "relation": "near behind beside outside",
        "place": "house school station market museum library church castle garden bridge theatre",
        "time": "in_the_morning at_night on_sunday",
    },
)
