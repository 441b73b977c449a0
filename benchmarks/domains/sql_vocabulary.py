"""The tables of the sql domain, by split. Apart from `id`, no table or column name stands in both."""

from dataclasses import dataclass

from benchmarks.domains.task import Split
from benchmarks.domains.vocabulary import CITIES, words


@dataclass(frozen=True, slots=True)
class Table:
    """A table: a unique text column, text columns with few values each, and whole-number columns."""

    name: str
    label: str
    categories: dict[str, tuple[str, ...]]
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """A parent table (id, label, category) and its child table (id, link to the parent's id, number)."""

    parent: str
    label: str
    category: str
    values: tuple[str, ...]
    child: str
    link: str
    number: str


_COLORS = words("red blue green black white")
_STATUS = words("open closed pending paid")

TABLES: dict[Split, tuple[Table, ...]] = {
    "train": (
        Table("orders", "customer", {"city": CITIES["train"], "status": _STATUS}, ("total", "quantity")),
        Table("employees", "name", {"department": words("Sales Finance Legal Support")}, ("salary", "age")),
        Table("books", "title", {"genre": words("Drama Poetry History Fantasy"), "author": ()}, ("pages", "price")),
        Table("cars", "model", {"brand": words("Ford Honda Fiat Volvo"), "color": _COLORS}, ("price", "mileage")),
        Table("students", "name", {"subject": words("Math Physics Biology Music"), "city": CITIES["train"]}, ("age",)),
        Table("players", "name", {"team": words("Lions Bears Hawks Tigers")}, ("goals", "age")),
        Table("products", "title", {"category": words("Garden Kitchen Sports Office")}, ("price", "stock")),
        Table("flights", "code", {"origin": CITIES["train"], "airline": words("Delta Swift Nova")}, ("seats", "delay")),
        Table("movies", "title", {"director": (), "genre": words("Drama Comedy Horror")}, ("year", "budget")),
        Table("customers", "name", {"city": CITIES["train"], "plan": words("basic silver gold")}, ("points", "age")),
        Table("invoices", "code", {"status": _STATUS, "company": words("Alto Brio Corvo")}, ("amount", "tax")),
        Table("projects", "title", {"manager": (), "status": _STATUS}, ("budget", "hours")),
        Table("courses", "title", {"teacher": (), "level": words("beginner middle expert")}, ("hours", "fee")),
        Table("houses", "address", {"city": CITIES["train"], "color": _COLORS}, ("rooms", "price")),
    ),
    "heldout": (
        Table("rides", "driver", {"district": words("North South East West")}, ("fare", "minutes")),
        Table("patients", "surname", {"ward": words("Cardiology Surgery Dental")}, ("weight", "days")),
        Table("animals", "nickname", {"species": words("Otter Lynx Panda Zebra")}, ("height", "meals")),
        Table("shops", "owner", {"town": CITIES["heldout"]}, ("revenue", "visitors")),
        Table("songs", "track", {"artist": (), "style": words("Jazz Rock Soul")}, ("length", "plays")),
        Table(
            "hotels", "label", {"town": CITIES["heldout"], "class": words("budget classic luxury")}, ("rate", "beds")
        ),
        Table("parcels", "receiver", {"carrier": words("Falcon Comet Zephyr")}, ("distance", "volume")),
        Table("plants", "nickname", {"family": words("Rose Cactus Fern"), "region": words("North South")}, ("leaves",)),
        Table(
            "machines", "label", {"factory": CITIES["heldout"], "state": words("idle busy broken")}, ("power", "load")
        ),
    ),
}

JOINS: dict[Split, tuple[Join, ...]] = {
    "train": (
        Join("customers", "name", "city", CITIES["train"], "orders", "customer_id", "total"),
        Join("authors", "name", "country", words("France Spain Japan Peru"), "books", "author_id", "pages"),
        Join("teams", "name", "league", words("first second third"), "players", "team_id", "goals"),
        Join("departments", "title", "floor", words("upper lower middle"), "employees", "department_id", "salary"),
        Join("teachers", "name", "subject", words("Math Physics Biology Music"), "courses", "teacher_id", "hours"),
    ),
    "heldout": (
        Join("drivers", "surname", "district", words("North South East West"), "rides", "driver_id", "fare"),
        Join("shops", "owner", "town", CITIES["heldout"], "sales", "shop_id", "revenue"),
        Join("doctors", "surname", "ward", words("Cardiology Surgery Dental"), "visits", "doctor_id", "minutes"),
    ),
}
