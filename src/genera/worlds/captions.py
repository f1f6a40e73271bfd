"""Short natural captions with labelled factors: who, in what, does what to what, where, when, and in what mood."""

from genera.worlds.grammar import World

CAPTIONS = World(
    name="captions",
    description="natural captions with 12 factors; the default data of the text methods",
    template=(
        "{determiner} {subject} [in {colour} {garment}] {tense} [{sentiment}] {action} a {object} "
        "{relation} the {place} [{time}] ."
    ),
    words={
        "determiner": {"indefinite": "a|some", "definite": "the|the", "near": "this|these", "far": "that|those"},
        "number": {"singular": "", "plural": ""},
        "subject": (
            "man|men woman|women child|children boy|boys girl|girls teacher|teachers farmer|farmers "
            "sailor|sailors artist|artists engineer|engineers nurse|nurses dancer|dancers student|students "
            "baker|bakers doctor|doctors waitress|waitresses thief|thieves spy|spies actor|actors tourist|tourists"
        ),
        "colour": "red blue green yellow black white orange purple",
        "garment": "boots gloves jeans shorts trousers overalls sandals socks",
        "tense": {"present": "is|are", "past": "was|were"},
        "sentiment": {"positive": "happily", "negative": "angrily"},
        "action": (
            "carrying holding painting cleaning hiding selling buying dropping fixing watching lifting admiring"
        ),
        "object": (
            "guitar bicycle umbrella ladder kite suitcase basket lamp drum clock mirror camera telescope armchair "
            "accordion easel"
        ),
        "relation": "near beside behind outside inside opposite",
        "place": (
            "museum station market library church castle school theatre bakery hotel airport hospital stadium "
            "restaurant factory temple"
        ),
        "time": "at_dawn at_noon at_dusk at_midnight on_sunday on_monday in_winter in_summer",
    },
)

CAPTIONS_SMALL = World(
    name="captions-small",
    description="a smaller grammar of 16.72 nats, for measured signatures that take minutes on one core",
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
