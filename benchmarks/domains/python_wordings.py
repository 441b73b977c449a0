"""What the python domain's functions do, in code and in the words of each split.

In an operation's code `x` is the element, `{k}` a number, `{z}` a letter; in a frame `{sig}` is the signature
and `{what}` what the function returns.
"""

from dataclasses import dataclass

from benchmarks.domains.task import Split
from benchmarks.domains.vocabulary import words


@dataclass(frozen=True, slots=True)
class Operation:
    """A piece of code and the phrases that describe it: every phrase of one split, none of the other."""

    code: str
    phrases: dict[Split, tuple[str, ...]]


def _operation(code: str, train: tuple[str, ...], heldout: tuple[str, ...]) -> Operation:
    return Operation(code, {"train": train, "heldout": heldout})


FUNCTIONS: dict[Split, tuple[str, ...]] = {
    "train": words(
        "solve compute process transform calculate get_result find_answer collect build handle make_output run_task "
        "select convert helper"
    ),
    "heldout": words("evaluate derive prepare obtain work_out produce examine pick_out translate"),
}
NUMBER_ARGUMENTS: dict[Split, tuple[str, ...]] = {
    "train": ("numbers", "values", "nums", "items", "xs"),
    "heldout": ("data", "readings", "amounts", "series"),
}
WORD_ARGUMENTS: dict[Split, tuple[str, ...]] = {
    "train": ("words", "strings", "names", "tokens"),
    "heldout": ("terms", "labels", "entries"),
}
TEXT_ARGUMENTS: dict[Split, tuple[str, ...]] = {
    "train": ("text", "s", "string", "word"),
    "heldout": ("sentence", "phrase", "line"),
}

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "Write a Python function {sig} that returns {what}.",
        "Define {sig} in Python. It should return {what}.",
        "Create a Python function {sig} returning {what}.",
        "Implement {sig} in Python so that it returns {what}.",
        "Python: write {sig} which returns {what}.",
        "Complete the Python function {sig}. It returns {what}.",
    ),
    "heldout": (
        "I need some Python code: {sig} should give back {what}.",
        "Can you code {sig} in Python for me? The result must be {what}.",
        "In Python, {sig} has to give me {what}. Write it.",
    ),
}

NUMBER_FILTERS = (
    _operation("", ("{x} in {arg}", "all {x} in {arg}"), ("every one of the {x} from {arg}",)),
    _operation(
        "x % 2 == 0",
        ("the even {x} in {arg}", "{x} in {arg} that are even"),
        ("those {x} from {arg} which happen to be even",),
    ),
    _operation(
        "x % 2 == 1",
        ("the odd {x} in {arg}", "{x} in {arg} that are odd"),
        ("those {x} from {arg} which happen to be odd",),
    ),
    _operation(
        "x > 0",
        ("the positive {x} in {arg}", "{x} in {arg} that are positive"),
        ("those {x} from {arg} which happen to be positive",),
    ),
    _operation(
        "x < 0",
        ("the negative {x} in {arg}", "{x} in {arg} that are negative"),
        ("those {x} from {arg} which happen to be negative",),
    ),
    _operation(
        "x > {k}",
        ("{x} in {arg} greater than {k}", "{x} in {arg} that are larger than {k}"),
        ("those {x} from {arg} which exceed {k}", "the {x} above {k} from {arg}"),
    ),
    _operation(
        "x < {k}",
        ("{x} in {arg} less than {k}", "{x} in {arg} that are smaller than {k}"),
        ("those {x} from {arg} which lie under {k}", "the {x} below {k} from {arg}"),
    ),
    _operation(
        "x % {k} == 0",
        ("{x} in {arg} divisible by {k}", "{x} in {arg} that are multiples of {k}"),
        ("those {x} from {arg} which {k} divides evenly",),
    ),
)
NUMBER_MAPS = (
    _operation("x", ("numbers", "integers"), ("members",)),
    _operation("x * x", ("squares of", "squared values of"), ("results of squaring",)),
    _operation("x * 2", ("doubles of", "doubled values of"), ("results of doubling",)),
    _operation("abs(x)", ("absolute values of",), ("results of taking the absolute value of",)),
    _operation("-x", ("negations of",), ("results of negating",)),
)
WORD_FILTERS = (
    _operation("", ("{x} in {arg}", "all {x} in {arg}"), ("every one of the {x} from {arg}",)),
    _operation(
        "x.startswith('{z}')",
        ("{x} in {arg} that start with '{z}'", "{x} in {arg} starting with '{z}'"),
        ("those {x} from {arg} which begin with '{z}'", "{x} from {arg} having '{z}' at the start"),
    ),
    _operation(
        "x.endswith('{z}')",
        ("{x} in {arg} that end with '{z}'", "{x} in {arg} ending with '{z}'"),
        ("those {x} from {arg} which finish in '{z}'", "{x} from {arg} having '{z}' at the end"),
    ),
    _operation(
        "'{z}' in x",
        ("{x} in {arg} that contain '{z}'", "{x} in {arg} containing '{z}'"),
        ("those {x} from {arg} which include the letter '{z}'",),
    ),
    _operation(
        "len(x) > {k}",
        ("{x} in {arg} longer than {k}", "{x} in {arg} with more than {k} letters"),
        ("those {x} from {arg} whose length exceeds {k}",),
    ),
    _operation(
        "len(x) < {k}",
        ("{x} in {arg} shorter than {k}", "{x} in {arg} with fewer than {k} letters"),
        ("those {x} from {arg} whose length is under {k}",),
    ),
)
WORD_MAPS = (
    _operation("x", ("words", "strings"), ("members",)),
    _operation("x.upper()", ("uppercase forms of",), ("upper-case versions of",)),
    _operation("x.lower()", ("lowercase forms of",), ("lower-case versions of",)),
    _operation("x[::-1]", ("reversed forms of",), ("back-to-front versions of",)),
    _operation("len(x)", ("lengths of",), ("letter counts of",)),
    _operation("x[0]", ("first letters of",), ("initial letters of",)),
    _operation("x[-1]", ("last letters of",), ("final letters of",)),
)

TEXTS = (
    _operation("{arg}[::-1]", ("{arg} reversed", "the reverse of {arg}"), ("{arg} written backwards",)),
    _operation(
        "{arg}.count('{z}')",
        ("how many times '{z}' occurs in {arg}", "the number of '{z}' in {arg}"),
        ("the count of the letter '{z}' within {arg}",),
    ),
    _operation("{arg}.replace('{z}', '')", ("{arg} without the letter '{z}'",), ("{arg} after deleting each '{z}'",)),
    _operation(
        "{arg}.replace('{z}', '{y}')",
        ("{arg} with '{z}' replaced by '{y}'",),
        ("{arg} after changing each '{z}' to '{y}'",),
    ),
    _operation("{arg}[:{k}]", ("the first {k} characters of {arg}",), ("just the leading {k} characters of {arg}",)),
    _operation("{arg}[-{k}:]", ("the last {k} characters of {arg}",), ("just the trailing {k} characters of {arg}",)),
    _operation("{arg} * {k}", ("{arg} repeated {k} times",), ("{k} copies of {arg} one after another",)),
    _operation("len({arg}.split())", ("the number of words in {arg}",), ("the count of words within {arg}",)),
    _operation("{arg}.split()[0]", ("the first word of {arg}",), ("only the opening word of {arg}",)),
    _operation("{arg}.split()[-1]", ("the last word of {arg}",), ("only the closing word of {arg}",)),
    _operation(
        "{arg}.split()[::-1]", ("the words of {arg} in reverse order",), ("a list of words of {arg}, last to first",)
    ),
    _operation("{arg} == {arg}[::-1]", ("whether {arg} is a palindrome",), ("True if {arg} reads the same backwards",)),
    _operation(
        "sum(c in 'aeiou' for c in {arg})", ("the number of vowels in {arg}",), ("the count of vowels within {arg}",)
    ),
    _operation(
        "{{c: {arg}.count(c) for c in {arg}}}",
        ("a dictionary that counts each character of {arg}",),
        ("a dict from each character to its count within {arg}",),
    ),
    _operation(
        "{{w: len(w) for w in {arg}.split()}}",
        ("a dictionary from each word of {arg} to its length",),
        ("a dict giving the length for each word within {arg}",),
    ),
)

# The code of a list's reduction, over `{body}`: a comprehension without its brackets.
REDUCTIONS = (
    _operation("[{body}]", ("a list of {x}", "the list of {x}"), ("a list holding {x}",)),
    _operation("sorted({body})", ("a sorted list of {x}",), ("a list, in ascending order, holding {x}",)),
)
SUM = _operation("sum({body})", ("the sum of {x}", "the total of {x}"), ("the result of adding up {x}",))
JOINED = _operation("'-'.join({body})", ("{x} joined by '-'",), ("one string with '-' between {x}",))
COUNTED = _operation("len([{body}])", ("the number of {x}", "how many {x} there are"), ("the count for {x}",))
