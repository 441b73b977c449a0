"""Questions about one or two small tables: the right answer is a query that returns what the reference returns."""

from random import Random

from benchmarks.domains.sql_judge import returns_the_same
from benchmarks.domains.sql_vocabulary import JOINS, TABLES, Join, Table
from benchmarks.domains.sql_wordings import JOIN_QUERIES, ORDERED, QUERIES, QUESTIONS
from benchmarks.domains.task import MAX_ANSWER_CHARS, Draft, Split, Task, draw_tasks
from benchmarks.domains.vocabulary import PEOPLE

_SEPARATOR = "\n-----\n"
_ROWS = 30
_DATABASES = 2
_NUMBERS = range(1, 100)
_JOIN_SHARE = 0.15


class Sql:
    """SQL questions. A task's check is the scripts that build its two databases, with a line of dashes between them."""

    name = "sql"

    def generate(self, split: Split, rows: int, seed: int) -> list[Task]:
        return draw_tasks(self.name, split, rows, seed, lambda rng: _draft(split, rng))

    def score(self, task: Task, answer: str) -> bool:
        """True where the answer's query and the reference return equal rows on both databases.

        The order of rows counts only where the question asks for one.
        """
        if len(answer) > MAX_ANSWER_CHARS:
            return False
        scripts = task.check.split(_SEPARATOR)
        return all(returns_the_same(script, task.completion, answer) for script in scripts)

    def wordings(self, split: Split) -> frozenset[str]:
        return frozenset(question for questions in QUESTIONS[split].values() for question in questions)

    def vocabulary(self, split: Split) -> frozenset[str]:
        names = frozenset[str]()
        for table in TABLES[split]:
            names |= {table.name, table.label, *table.categories, *table.numbers}
        for join in JOINS[split]:
            names |= {join.parent, join.label, join.category, join.child, join.link, join.number}
        return names


def _draft(split: Split, rng: Random) -> Draft:
    if rng.random() < _JOIN_SHARE:
        return _join_draft(rng.choice(JOINS[split]), split, rng)
    return _table_draft(rng.choice(TABLES[split]), split, rng)


def _table_draft(table: Table, split: Split, rng: Random) -> Draft:
    kind = rng.choice(tuple(QUERIES))
    categories = {name: values or PEOPLE[split] for name, values in table.categories.items()}
    category, number = rng.choice(tuple(categories)), rng.choice(table.numbers)
    value = rng.choice(categories[category])
    limit = rng.randint(2, 9) if kind in ORDERED else rng.randint(20, 70)
    words = {"t": table.name, "l": table.label, "c": category, "v": value, "n": number, "k": str(limit)}
    columns = [*categories, *table.numbers]
    rng.shuffle(columns)
    databases = (
        _create(table.name, ["id", table.label, *columns], _table_rows(columns, categories, value, limit, rng))
        for _ in range(_DATABASES)
    )
    schema = f"{table.name}(id, {table.label}, {', '.join(columns)})"
    question = rng.choice(QUESTIONS[split][kind]).format(**words)
    return Draft(_prompt(schema, question), QUERIES[kind].format(**words), _SEPARATOR.join(databases))


def _join_draft(join: Join, split: Split, rng: Random) -> Draft:
    kind = rng.choice(tuple(JOIN_QUERIES))
    value, limit = rng.choice(join.values), rng.randint(20, 70)
    words = {"p": join.parent, "l": join.label, "c": join.category, "v": value}
    words |= {"t": join.child, "f": join.link, "n": join.number, "k": str(limit)}
    parent = f"{join.parent}(id, {join.label}, {join.category})"
    child = f"{join.child}(id, {join.link}, {join.number})"
    databases = (_join_database(join, value, limit, rng) for _ in range(_DATABASES))
    question = rng.choice(QUESTIONS[split][kind]).format(**words)
    return Draft(
        _prompt(f"{parent}, {child}", question), JOIN_QUERIES[kind].format(**words), _SEPARATOR.join(databases)
    )


def _prompt(schema: str, question: str) -> str:
    return f"Tables: {schema}\nWrite a SQL query: {question}"


def _table_rows(
    columns: list[str], categories: dict[str, tuple[str, ...]], value: str, limit: int, rng: Random
) -> list[list[str | int]]:
    """Rows that tell queries apart: numbers without ties that include the limit, few texts that include the value."""
    texts = {name: rng.sample(values, min(4, len(values))) for name, values in categories.items()}
    for name, values in categories.items():
        if value in values and value not in texts[name]:
            texts[name][0] = value
    filled: dict[str, list[str | int]] = {
        name: list(rng.choices(texts[name], k=_ROWS)) if name in texts else list(_distinct_numbers(limit, rng))
        for name in columns
    }
    for name in texts:
        if value in categories[name]:
            for number in (column for column in columns if column not in texts):
                filled[name][filled[number].index(limit)] = value  # so that > and >= differ among the asked ones too
    labels = [f"label {number}" for number in rng.sample(range(100, 1000), _ROWS)]
    return [[row + 1, labels[row], *(filled[name][row] for name in columns)] for row in range(_ROWS)]


def _join_database(join: Join, value: str, limit: int, rng: Random) -> str:
    texts = [value, value, *rng.choices(join.values, k=6)]
    parents: list[list[str | int]] = [
        [number, f"label {100 - number}", text] for number, text in enumerate(texts, start=11)
    ]
    numbers = _distinct_numbers(limit, rng)
    children: list[list[str | int]] = [
        [row + 1, rng.randrange(11, 11 + len(texts)), number] for row, number in enumerate(numbers)
    ]
    parent = _create(join.parent, ["id", join.label, join.category], parents)
    return f"{parent}\n{_create(join.child, ['id', join.link, join.number], children)}"


def _distinct_numbers(limit: int, rng: Random) -> list[int]:
    numbers = [limit, *rng.sample([number for number in _NUMBERS if number != limit], _ROWS - 1)]
    rng.shuffle(numbers)
    return numbers


def _create(table: str, columns: list[str], rows: list[list[str | int]]) -> str:
    values = ", ".join(f"({', '.join(map(repr, row))})" for row in rows)
    return f"CREATE TABLE {table} ({', '.join(columns)});\nINSERT INTO {table} VALUES {values};"
