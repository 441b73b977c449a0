"""Words that several domains draw from, one set for each split; no word stands in both."""

from benchmarks.domains.task import Split


def words(text: str) -> tuple[str, ...]:
    """The words of a text; a list of words is easier to read without quotes."""
    return tuple(text.split())


PEOPLE: dict[Split, tuple[str, ...]] = {
    "train": words(
        "Anna Ben Carla David Emma Felix Grace Henry Irene Jack Karen Leo Maria Nathan Olivia Paul Rosa Sam Tina "
        "Victor Wendy Yusuf Zoe Amir Bella Carlos Diana Erik"
    ),
    "heldout": words("Hugo Nadia Otto Priya Ravi Sofia Theo Ursula Vera Walter Lucia Kenji Ingrid Fatima Dmitri Celia"),
}

CITIES: dict[Split, tuple[str, ...]] = {
    "train": words("Paris London Berlin Madrid Rome Vienna Boston Chicago Denver Dallas Tokyo Cairo Dublin Prague"),
    "heldout": words("Lisbon Oslo Athens Seattle Toronto Mumbai Helsinki Atlanta Geneva Lima"),
}
