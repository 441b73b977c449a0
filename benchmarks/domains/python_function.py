"""Small Python functions over lists of numbers, lists of words, and text: the right answer passes the unit tests."""

import json
from dataclasses import dataclass
from random import Random

from benchmarks.domains.python_judge import FunctionTests, passes
from benchmarks.domains.python_wordings import (
    COUNTED,
    FRAMES,
    FUNCTIONS,
    JOINED,
    NUMBER_ARGUMENTS,
    NUMBER_FILTERS,
    NUMBER_MAPS,
    REDUCTIONS,
    SUM,
    TEXT_ARGUMENTS,
    TEXTS,
    WORD_ARGUMENTS,
    WORD_FILTERS,
    WORD_MAPS,
    Operation,
)
from benchmarks.domains.task import MAX_ANSWER_CHARS, Draft, Split, Task, draw_tasks
from benchmarks.domains.vocabulary import words

_LETTERS = "abcdeilmnoprst"
_SAMPLE_WORDS = words(
    "apple river stone cat a Tomato dinner window orange lamp ice bottle madam Paper note radar moon level sun "
    "Elephant item cloud basic random east piano mill Peace drum noon"
)
_CASES = 6
_OPERATIONS = (*NUMBER_FILTERS, *NUMBER_MAPS, *WORD_FILTERS, *WORD_MAPS, *TEXTS, *REDUCTIONS, SUM, JOINED, COUNTED)


@dataclass(frozen=True, slots=True)
class _Function:
    """A function without its name: argument, returned expression, what that is in words, arguments to test it with."""

    argument: str
    expression: str
    meaning: str
    inputs: list[str] | list[list[int]] | list[list[str]]


class PythonFunction:
    """Python functions. A task's check is its `FunctionTests` in JSON."""

    name = "python"

    def generate(self, split: Split, rows: int, seed: int) -> list[Task]:
        return draw_tasks(self.name, split, rows, seed, lambda rng: _draft(split, rng))

    def score(self, task: Task, answer: str) -> bool:
        """True where the answer's function returns what the reference returns, on every input of the tests.

        The code runs in a process of its own that has no environment and no files; see `python_judge`.
        """
        return len(answer) <= MAX_ANSWER_CHARS and passes(FunctionTests.from_json(task.check), answer)

    def wordings(self, split: Split) -> frozenset[str]:
        return frozenset(
            {*FRAMES[split], *(phrase for operation in _OPERATIONS for phrase in operation.phrases[split])}
        )

    def vocabulary(self, split: Split) -> frozenset[str]:
        arguments = (NUMBER_ARGUMENTS, WORD_ARGUMENTS, TEXT_ARGUMENTS)
        return frozenset({*FUNCTIONS[split], *(name for names in arguments for name in names[split])})


def _draft(split: Split, rng: Random) -> Draft:
    family = rng.choice((_of_numbers, _of_numbers, _of_words, _of_words, _of_text))
    function = family(split, rng)
    name = rng.choice(FUNCTIONS[split])
    signature = f"{name}({function.argument})"
    code = f"def {signature}:\n    return {function.expression}"
    tests = FunctionTests(name, json.dumps(function.inputs), _results(code, name, function))
    prompt = rng.choice(FRAMES[split]).format(sig=f"`{signature}`", what=function.meaning)
    return Draft(prompt, code, tests.to_json())


def _results(code: str, name: str, function: _Function) -> str:
    """What the reference returns on each input, as JSON."""
    scope: dict[str, object] = {}
    exec(code, scope)  # code of this module's own making
    reference = scope[name]
    assert callable(reference)
    return json.dumps([reference(value) for value in function.inputs], sort_keys=True)


def _of_numbers(split: Split, rng: Random) -> _Function:
    argument = rng.choice(NUMBER_ARGUMENTS[split])
    number = rng.randint(2, 9)
    inputs = [[rng.randint(-20, 20) for _ in range(rng.randint(4, 10))] for _ in range(_CASES - 2)]
    inputs += [[], [*range(-12, 13)]]
    keep, change = rng.choice(NUMBER_FILTERS), rng.choice(NUMBER_MAPS)
    reduce = _reduction((*REDUCTIONS, SUM), keep, change, rng)
    blanks = {"arg": argument, "k": str(number)}
    return _Function(argument, *_comprehension(split, rng, "n", (reduce, change, keep), blanks), inputs)


def _of_words(split: Split, rng: Random) -> _Function:
    argument = rng.choice(WORD_ARGUMENTS[split])
    letter = rng.choice(_LETTERS)
    inputs = [rng.sample(_SAMPLE_WORDS, rng.randint(4, 8)) for _ in range(_CASES - 2)]
    inputs += [[], [letter, f"{letter}un", f"un{letter}", f"u{letter}un", f"{letter.upper()}un", *_SAMPLE_WORDS]]
    keep, change = rng.choice(WORD_FILTERS), rng.choice(WORD_MAPS)
    reductions = REDUCTIONS if change.code == "len(x)" else (*REDUCTIONS, JOINED)
    reduce = _reduction((*reductions, SUM) if change.code == "len(x)" else reductions, keep, change, rng)
    blanks = {"arg": argument, "k": str(rng.randint(2, 6)), "z": letter}
    return _Function(argument, *_comprehension(split, rng, "w", (reduce, change, keep), blanks), inputs)


def _of_text(split: Split, rng: Random) -> _Function:
    operation = rng.choice(TEXTS)
    argument = rng.choice(TEXT_ARGUMENTS[split])
    letter, other = rng.sample(_LETTERS, 2)
    blanks = {"arg": argument, "k": str(rng.randint(2, 5)), "z": letter, "y": other}
    inputs = [" ".join(rng.sample(_SAMPLE_WORDS, rng.randint(1, 5))) for _ in range(_CASES - 2)]
    inputs += [f"{letter}un{letter}{letter} is {other}", "noon"]
    meaning = rng.choice(operation.phrases[split]).format(**blanks)
    return _Function(argument, operation.code.format(**blanks), meaning, inputs)


def _reduction(options: tuple[Operation, ...], keep: Operation, change: Operation, rng: Random) -> Operation:
    """One of the options, or a count where only a filter says what is counted."""
    countable = keep.code and change.code == "x"
    return rng.choice((*options, COUNTED, COUNTED) if countable else options)


def _comprehension(
    split: Split, rng: Random, element: str, operations: tuple[Operation, Operation, Operation], blanks: dict[str, str]
) -> tuple[str, str]:
    """The expression and its meaning, of a reduction over a map over a filter."""
    reduce, change, keep = operations
    condition = f" if {_named(keep.code, element).format(**blanks)}" if keep.code else ""
    body = f"{_named(change.code, element)} for {element} in {blanks['arg']}{condition}"
    changed = rng.choice(change.phrases[split])
    noun = changed if change.code == "x" else {"n": "numbers", "w": "words"}[element]
    kept = rng.choice(keep.phrases[split]).format(x=noun, **blanks)
    meaning = kept if change.code == "x" else f"the {changed} {kept}"
    return reduce.code.format(body=body), rng.choice(reduce.phrases[split]).format(x=meaning)


def _named(code: str, element: str) -> str:
    """The code with its element `x` called otherwise."""
    return code.replace("x", element)
