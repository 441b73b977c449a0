"""The stories of the arithmetic domain: by split and structure, patterns for the names, things and numbers of a task.

`{n}` and `{m}` are people, `{t}` a plural thing, `{p}` and `{s}` a container in the plural and the singular,
`{a}`, `{b}`, `{c}` the numbers.
"""

from benchmarks.domains.task import Split
from benchmarks.domains.vocabulary import words

THINGS: dict[Split, tuple[str, ...]] = {
    "train": words(
        "apples oranges books pencils marbles stickers cookies coins cards balls flowers shirts cups stamps toys "
        "eggs candles buttons tickets magazines"
    ),
    "heldout": words("pears stones shells postcards muffins badges ribbons bottles spoons lemons crayons hats"),
}

CONTAINERS: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("boxes", "box"), ("bags", "bag"), ("shelves", "shelf"), ("baskets", "basket"), ("packs", "pack")),
    "heldout": (("crates", "crate"), ("jars", "jar"), ("trays", "tray"), ("drawers", "drawer")),
}

STORIES: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "add": (
            "{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?",
            "There are {a} {t} on the table. {n} puts {b} more {t} there. How many {t} are on the table?",
            "{n} found {a} {t} in the morning and {b} {t} in the evening. How many {t} did {n} find in total?",
            "{n} has {a} {t} and {m} has {b} {t}. How many {t} do they have together?",
            "What is the total number of {t} if {n} brings {a} and {m} brings {b}?",
        ),
        "subtract": (
            "{n} had {a} {t} and gave {b} of them to {m}. How many {t} are left?",
            "{n} has {a} {t}. {b} {t} get lost. How many {t} does {n} still have?",
            "A shop had {a} {t} and sold {b}. How many {t} remain?",
            "There were {a} {t}. {n} took away {b}. How many {t} are there now?",
            "{n} needs {a} {t} and already has {b}. How many more {t} does {n} need?",
        ),
        "multiply": (
            "{n} has {a} {p} with {b} {t} in each {s}. How many {t} does {n} have?",
            "Each {s} holds {b} {t}. How many {t} are in {a} {p}?",
            "There are {a} {p}. Every {s} contains {b} {t}. How many {t} are there in total?",
            "{n} buys {a} {p} of {b} {t} each. How many {t} is that?",
        ),
        "share": (
            "{n} shares {a} {t} equally among {b} friends. How many {t} does each friend get?",
            "{a} {t} are put into {b} {p} equally. How many {t} are in each {s}?",
            "{n} divides {a} {t} into {b} equal groups. How many {t} are in one group?",
            "If {b} children split {a} {t} evenly, how many {t} does each child receive?",
        ),
        "difference": (
            "{n} has {a} {t} and {m} has {b} {t}. How many more {t} does {n} have than {m}?",
            "{n} collected {a} {t}. {m} collected {b} {t}. What is the difference?",
            "{m} owns {b} {t} while {n} owns {a}. How many fewer {t} does {m} own than {n}?",
        ),
        "more_than": (
            "{n} has {a} {t}. {m} has {b} more {t} than {n}. How many {t} does {m} have?",
            "{m} sold {b} more {t} than {n}. {n} sold {a} {t}. How many {t} did {m} sell?",
            "{n} counted {a} {t}, and {m} counted {b} more than that. How many {t} did {m} count?",
        ),
        "fewer_than": (
            "{n} has {a} {t}. {m} has {b} fewer {t} than {n}. How many {t} does {m} have?",
            "{m} made {b} fewer {t} than {n}. {n} made {a} {t}. How many {t} did {m} make?",
            "{n} counted {a} {t}, and {m} counted {b} less than that. How many {t} did {m} count?",
        ),
        "rate": (
            "{n} makes {b} {t} every hour. How many {t} does {n} make in {a} hours?",
            "A machine packs {b} {t} per minute. How many {t} does it pack in {a} minutes?",
            "{n} sells {b} {t} each day for {a} days. How many {t} does {n} sell?",
            "One ticket costs {b} dollars. How many dollars do {a} tickets cost?",
        ),
        "times": (
            "{n} has {b} {t}. {m} has {a} times as many. How many {t} does {m} have?",
            "{m} picked {a} times as many {t} as {n}. {n} picked {b} {t}. How many {t} did {m} pick?",
        ),
        "multiply_add": (
            "{n} has {a} {p} with {b} {t} each and {c} more {t}. How many {t} does {n} have?",
            "{n} buys {a} {p} of {b} {t}. {m} gives {n} {c} more {t}. How many {t} does {n} have now?",
            "{n} makes {b} {t} a day for {a} days, then {c} more {t}. How many {t} did {n} make in total?",
            "A book costs {c} dollars and a pen costs {b} dollars. How many dollars do {a} pens and one book cost?",
        ),
        "multiply_subtract": (
            "{n} has {a} {p} with {b} {t} each and gives away {c} {t}. How many {t} are left?",
            "{n} buys {a} {p} of {b} {t}. {c} {t} are broken. How many {t} are good?",
            "{n} makes {b} {t} a day for {a} days and sells {c} of them. How many {t} remain?",
        ),
        "add_subtract": (
            "{n} has {a} {t}, buys {b} more and gives {c} to {m}. How many {t} does {n} have now?",
            "There are {a} {t} in a {s}. {n} adds {b} {t} and {m} takes out {c}. How many {t} are in the {s}?",
            "{n} found {a} {t} and {m} found {b}. Together they lost {c}. How many {t} do they have left?",
        ),
        "subtract_twice": (
            "{n} has {a} {t}. {n} gives {b} to {m} and loses {c}. How many {t} are left?",
            "A shop has {a} {t}. It sells {b} in the morning and {c} in the evening. How many {t} remain?",
            "There were {a} {t}. {n} took {b} and {m} took {c}. How many {t} are there now?",
        ),
        "add_share": (
            "{n} has {a} {t} and {m} has {b}. They put all {t} into {c} {p} equally. How many {t} are in each {s}?",
            (
                "{n} buys {a} {t} and then {b} more, and shares them equally among {c} friends. "
                "How many {t} does each friend get?"
            ),
        ),
        "change": (
            "{n} buys {a} {t} for {b} dollars each and pays with {c} dollars. How many dollars does {n} get back?",
            "{n} has {c} dollars and buys {a} {t} at {b} dollars each. How many dollars are left?",
            "Each of {a} {t} costs {b} dollars. {n} had {c} dollars and bought them all. How much money remains?",
        ),
    },
    "heldout": {
        "add": (
            "A drawing shows {a} {t}. {n} draws another {b}. What number of {t} does the drawing show in the end?",
            "On Monday {n} packed {a} {t}, on Tuesday {b}. Work out the number of {t} packed on both days.",
            "{n} keeps {a} {t} at home and {b} {t} at school. How many is that altogether?",
        ),
        "subtract": (
            "Out of {a} {t}, {n} used up {b}. How many were not used?",
            "{n} started the day with {a} {t} and dropped {b} into the river. What number of {t} was kept?",
            "A truck carried {a} {t}. At the first stop {b} were unloaded. How many stayed on the truck?",
        ),
        "multiply": (
            "A cupboard has {a} {p}, and {n} lays {b} {t} into every one of them. How many {t} were laid in?",
            "If one {s} fits {b} {t}, what number of {t} fits into {a} {p}?",
        ),
        "share": (
            "{n} spreads {a} {t} over {b} {p}, the same number in every {s}. How many go into a single {s}?",
            "A team of {b} players hands out {a} {t} fairly. What number of {t} goes to every player?",
        ),
        "difference": (
            "By how many {t} does {n}, who owns {a}, beat {m}, who owns {b}?",
            "{n} carried {a} {t}; {m} carried only {b}. How many extra {t} did {n} carry?",
        ),
        "more_than": (
            "{m} brought {b} {t} more than {n}, who brought {a}. What number of {t} came from {m}?",
            "If {n} painted {a} {t} and {m} beat that by {b}, how many {t} did {m} paint?",
        ),
        "fewer_than": (
            "{m} brought {b} {t} fewer than {n}, who brought {a}. What number of {t} came from {m}?",
            "If {n} cleaned {a} {t} and {m} cleaned {b} fewer, how many {t} did {m} clean?",
        ),
        "rate": (
            "Every week {n} paints {b} {t}. What number of {t} is painted after {a} weeks?",
            "A bus travels {b} miles in an hour. How many miles does it travel in {a} hours?",
        ),
        "times": (
            "{m} keeps {a} times the number of {t} that {n} keeps. {n} keeps {b}. How many does {m} keep?",
            "{n} washed {b} {t} and {m} washed {a} times that number. How many {t} did {m} wash?",
        ),
        "multiply_add": (
            "{n} fills {a} {p} with {b} {t} apiece, and {c} {t} stay on the floor. How many {t} are there altogether?",
            "{n} earns {b} dollars for each of {a} jobs plus a gift of {c} dollars. How many dollars is that?",
        ),
        "multiply_subtract": (
            "{n} fills {a} {p} with {b} {t} apiece. Later {m} removes {c} {t}. What number of {t} stays?",
            "In a garden {n} sets {a} rows of {b} {t}, and the wind carries off {c}. How many {t} stay?",
        ),
        "add_subtract": (
            "{n} packed {a} {t}, then another {b}, and then threw out {c}. What number of {t} stayed packed?",
            "A bus has {a} riders. At a stop {b} get on and {c} get off. How many riders are on the bus?",
        ),
        "subtract_twice": (
            "Out of {a} {t}, {n} used {b} on Monday and {c} on Tuesday. How many were not used?",
            "A truck carried {a} {t}. It unloaded {b} in one town and {c} in the next. How many stayed on the truck?",
        ),
        "add_share": (
            "{n} mixes {a} {t} with {b} {t} from {m} and spreads them over {c} {p}. How many go into a single {s}?",
            "A team wins {a} {t}, then {b} more. Its {c} players split them fairly. How many does one player take?",
        ),
        "change": (
            "At the market {n} picks {a} {t}, {b} dollars apiece, and hands over {c} dollars. What is the change?",
            "From {c} dollars {n} pays for {a} {t} that cost {b} dollars apiece. How many dollars stay in the purse?",
        ),
    },
}
