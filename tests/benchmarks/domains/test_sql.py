"""A query is right when it returns what the reference returns; it can read, and nothing else."""

import time

import pytest

from benchmarks.domains.sql import Sql
from benchmarks.domains.sql_judge import returns_the_same
from benchmarks.domains.task import Split

SCRIPT = """
CREATE TABLE orders (id, customer, city, total);
INSERT INTO orders VALUES (1, 'Ann', 'Rome', 30), (2, 'Bob', 'Rome', 50), (3, 'Cid', 'Oslo', 40);
"""
ABOVE = "SELECT customer FROM orders WHERE total > 30"
TOP = "SELECT customer FROM orders ORDER BY total DESC LIMIT 2"


@pytest.mark.parametrize(
    "answer",
    [
        ABOVE,
        f"{ABOVE};",
        f"```sql\n{ABOVE};\n```\nThis selects the customers.",
        f"Here is the query to select them:\n\n{ABOVE};\n\nIt works.",
        f"Use `{ABOVE}`.",
        "select o.customer as c from orders o where not o.total <= 30 order by 1 desc",
        "WITH big AS (SELECT * FROM orders WHERE total > 30) SELECT customer FROM big",
    ],
)
def test_a_query_with_the_same_rows_is_right(answer: str) -> None:
    assert returns_the_same(SCRIPT, ABOVE, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "SELECT customer FROM orders WHERE total >= 30",
        "SELECT customer, total FROM orders WHERE total > 30",
        "SELECT customer FROM orders",
        "SELECT client FROM orders WHERE total > 30",
        "SELECT customer FROM orders WHERE total > 30 UNION ALL SELECT 'Bob'",
        "SELECT",
        "",
    ],
)
def test_a_query_with_other_rows_or_none_is_wrong(answer: str) -> None:
    assert not returns_the_same(SCRIPT, ABOVE, answer)


def test_order_counts_where_the_reference_has_one() -> None:
    assert returns_the_same(SCRIPT, TOP, "SELECT customer FROM orders WHERE total > 30 ORDER BY total DESC")
    assert not returns_the_same(SCRIPT, TOP, "SELECT customer FROM orders WHERE total > 30 ORDER BY total")


def test_no_query_is_wrong_even_where_the_reference_returns_no_row() -> None:
    assert not returns_the_same(SCRIPT, "SELECT customer FROM orders WHERE total > 99", "I cannot say.")


@pytest.mark.parametrize(
    "answer",
    [
        "DROP TABLE orders",
        f"DROP TABLE orders; {ABOVE} AND (SELECT 0)",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "SELECT load_extension('x')",
        "SELECT hex(zeroblob(1000000000))",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n",
        "SELECT " + ", ".join(["(" * 500 + "1" + ")" * 500] * 5),
        "SELECT * FROM " + ", ".join(f"orders o{number}" for number in range(40)),
    ],
)
def test_a_hostile_query_is_wrong_and_ends_soon(answer: str) -> None:
    began = time.monotonic()
    assert not returns_the_same(SCRIPT, ABOVE, answer)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_the_databases_tell_a_changed_query_apart(split: Split) -> None:
    changes = ((" > ", " >= "), (" < ", " <= "), ("MAX(", "MIN("), ("AVG(", "SUM("), (" DESC", ""), (" = '", " <> '"))
    domain = Sql()
    fooled = [
        (task.completion, old)
        for task in domain.generate(split, 150, seed=6)
        for old, new in changes
        if old in task.completion and domain.score(task, task.completion.replace(old, new, 1))
    ]
    assert fooled == []
