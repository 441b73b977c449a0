"""The questions of the sql domain: by kind the query that answers it, by split the patterns that ask it.

`{t}` is the table, `{l}` its label column, `{c}` and `{v}` a category column and its value, `{n}` a number column,
`{k}` a number. In a join `{p}` is the parent, `{f}` the child's link to it.
"""

from benchmarks.domains.task import Split

QUERIES: dict[str, str] = {
    "equal": "SELECT {l} FROM {t} WHERE {c} = '{v}'",
    "above": "SELECT {l} FROM {t} WHERE {n} > {k}",
    "below": "SELECT {l} FROM {t} WHERE {n} < {k}",
    "equal_above": "SELECT {l} FROM {t} WHERE {c} = '{v}' AND {n} > {k}",
    "count_equal": "SELECT COUNT(*) FROM {t} WHERE {c} = '{v}'",
    "count_above": "SELECT COUNT(*) FROM {t} WHERE {n} > {k}",
    "count_below": "SELECT COUNT(*) FROM {t} WHERE {n} < {k}",
    "sum": "SELECT SUM({n}) FROM {t} WHERE {c} = '{v}'",
    "average": "SELECT AVG({n}) FROM {t} WHERE {c} = '{v}'",
    "average_all": "SELECT AVG({n}) FROM {t}",
    "largest": "SELECT MAX({n}) FROM {t} WHERE {c} = '{v}'",
    "smallest": "SELECT MIN({n}) FROM {t} WHERE {c} = '{v}'",
    "top": "SELECT {l} FROM {t} ORDER BY {n} DESC LIMIT {k}",
    "bottom": "SELECT {l} FROM {t} ORDER BY {n} LIMIT {k}",
    "count_by": "SELECT {c}, COUNT(*) FROM {t} GROUP BY {c}",
    "sum_by": "SELECT {c}, SUM({n}) FROM {t} GROUP BY {c}",
    "average_by": "SELECT {c}, AVG({n}) FROM {t} GROUP BY {c}",
    "distinct": "SELECT DISTINCT {c} FROM {t}",
}

JOIN_QUERIES: dict[str, str] = {
    "join_above": "SELECT {p}.{l}, {t}.{n} FROM {t} JOIN {p} ON {t}.{f} = {p}.id WHERE {t}.{n} > {k}",
    "join_sum": "SELECT SUM({t}.{n}) FROM {t} JOIN {p} ON {t}.{f} = {p}.id WHERE {p}.{c} = '{v}'",
    "join_count": "SELECT COUNT(*) FROM {t} JOIN {p} ON {t}.{f} = {p}.id WHERE {p}.{c} = '{v}'",
}

ORDERED = frozenset({"top", "bottom"})

QUESTIONS: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "equal": (
            "Show the {l} of all {t} where the {c} is {v}.",
            "List the {l} of {t} with {c} {v}.",
            "Which {l} values belong to {t} whose {c} is {v}?",
        ),
        "above": (
            "Show the {l} of {t} with {n} above {k}.",
            "List the {l} of all {t} whose {n} is greater than {k}.",
            "Which {t} have a {n} of more than {k}? Give the {l}.",
        ),
        "below": (
            "Show the {l} of {t} with {n} below {k}.",
            "List the {l} of all {t} whose {n} is less than {k}.",
            "Which {t} have a {n} smaller than {k}? Give the {l}.",
        ),
        "equal_above": (
            "Show the {l} of {t} with {c} {v} and {n} above {k}.",
            "List the {l} of all {t} whose {c} is {v} and whose {n} is greater than {k}.",
        ),
        "count_equal": (
            "How many {t} have {c} {v}?",
            "Count the {t} where the {c} is {v}.",
            "What is the number of {t} with {c} {v}?",
        ),
        "count_above": ("How many {t} have a {n} above {k}?", "Count the {t} with {n} greater than {k}."),
        "count_below": ("How many {t} have a {n} below {k}?", "Count the {t} with {n} less than {k}."),
        "sum": (
            "What is the total {n} of {t} with {c} {v}?",
            "Add up the {n} of all {t} where the {c} is {v}.",
        ),
        "average": (
            "What is the average {n} of {t} with {c} {v}?",
            "Compute the mean {n} of all {t} where the {c} is {v}.",
        ),
        "average_all": ("What is the average {n} of all {t}?", "Compute the mean {n} over the {t}."),
        "largest": (
            "What is the highest {n} of {t} with {c} {v}?",
            "Find the maximum {n} among {t} where the {c} is {v}.",
        ),
        "smallest": (
            "What is the lowest {n} of {t} with {c} {v}?",
            "Find the minimum {n} among {t} where the {c} is {v}.",
        ),
        "top": (
            "Show the {l} of the {k} {t} with the highest {n}, highest first.",
            "List the top {k} {t} by {n}. Give the {l}.",
        ),
        "bottom": (
            "Show the {l} of the {k} {t} with the lowest {n}, lowest first.",
            "List the {k} {t} with the smallest {n}, in ascending order. Give the {l}.",
        ),
        "count_by": ("How many {t} are there for each {c}?", "Show every {c} and the number of its {t}."),
        "sum_by": ("What is the total {n} for each {c}?", "Show every {c} and the sum of {n} of its {t}."),
        "average_by": ("What is the average {n} for each {c}?", "Show every {c} and the mean {n} of its {t}."),
        "distinct": ("List the different {c} values of {t}.", "Which distinct {c} values occur in {t}?"),
        "join_above": (
            "Show the {l} of {p} and the {n} of their {t} where the {n} is above {k}.",
            "List {p} {l} and {t} {n} for all {t} with {n} greater than {k}.",
        ),
        "join_sum": (
            "What is the total {n} of {t} that belong to {p} with {c} {v}?",
            "Add up the {n} of all {t} of {p} where the {c} is {v}.",
        ),
        "join_count": (
            "How many {t} belong to {p} with {c} {v}?",
            "Count the {t} of {p} where the {c} is {v}.",
        ),
    },
    "heldout": {
        "equal": ("For {t} having {v} as {c}, return the {l}.", "I want the {l} for every one of the {v} {c} {t}."),
        "above": ("Return the {l} for {t} whose {n} exceeds {k}.", "I want every {l} in {t} where {n} is over {k}."),
        "below": (
            "Return the {l} for {t} whose {n} stays under {k}.",
            "I want every {l} in {t} where {n} is under {k}.",
        ),
        "equal_above": ("Return the {l} for {t} having {v} as {c} whose {n} exceeds {k}.",),
        "count_equal": ("Tell me how many of the {t} have {v} as {c}.", "In {t}, how often is the {c} equal to {v}?"),
        "count_above": ("Tell me how many of the {t} have a {n} over {k}.",),
        "count_below": ("Tell me how many of the {t} have a {n} under {k}.",),
        "sum": ("Taken together, what {n} do the {t} having {v} as {c} come to in total?",),
        "average": ("On average, what {n} do the {t} having {v} as {c} have?",),
        "average_all": ("On average, what {n} do the {t} have?",),
        "largest": ("For {t} having {v} as {c}, how large is the maximum {n}?",),
        "smallest": ("For {t} having {v} as {c}, how small is the minimum {n}?",),
        "top": ("Return the {l} for the {k} {t} that have the largest {n}, from largest down.",),
        "bottom": ("Return the {l} for the {k} {t} that have the least {n}, from the lowest up.",),
        "count_by": ("Per {c}, return the {c} and how many {t} it has.",),
        "sum_by": ("Per {c}, return the {c} and the total of {n} in {t}.",),
        "average_by": ("Per {c}, return the {c} and the average {n} in {t}.",),
        "distinct": ("Without repeating any, return each {c} found in {t}.",),
        "join_above": ("For {t} whose {n} exceeds {k}, return the {l} from {p} with the {n}.",),
        "join_sum": ("Taken together, what {n} do {t} come to in total when their {p} have {v} as {c}?",),
        "join_count": ("Tell me how many of the {t} go with {p} that have {v} as {c}.",),
    },
}
