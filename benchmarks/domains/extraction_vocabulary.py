"""The values of the extraction domain by split and source; no value stands in both splits."""

from benchmarks.domains.task import Split
from benchmarks.domains.vocabulary import CITIES, PEOPLE, words

VALUES: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "person": PEOPLE["train"],
        "city": CITIES["train"],
        "item": words("lamps chairs notebooks keyboards blankets mugs batteries shoes plates umbrellas"),
        "day": tuple(
            f"{day} {month}"
            for month in ("January", "February", "March", "April", "May", "June")
            for day in range(1, 29)
        ),
        "time": tuple(f"{hour}:{minute}" for hour in range(7, 13) for minute in ("00", "15", "30", "45")),
        "company": words("Acme Norfield Brightline Orbita Kestrel Halden Vextra Lumen"),
        "role": words("engineer nurse accountant designer teacher driver cook lawyer"),
        "topic": words("gardening astronomy cooking chess photography history robotics painting"),
        "animal": words("cat dog rabbit parrot hamster pony"),
        "team": words("Tigers Falcons Rovers Sharks Wolves Comets"),
        "color": words("red blue green black silver"),
    },
    "heldout": {
        "person": PEOPLE["heldout"],
        "city": CITIES["heldout"],
        "item": words("curtains helmets candles carpets monitors kettles towels ladders"),
        "day": tuple(
            f"{day} {month}" for month in ("August", "September", "October", "November") for day in range(1, 29)
        ),
        "time": tuple(f"{hour}:{minute}" for hour in range(13, 22) for minute in ("05", "20", "40", "50")),
        "company": words("Quantor Meridane Solvix Pinecrest Arkadia Tellwood"),
        "role": words("plumber pharmacist architect librarian pilot editor"),
        "topic": words("sailing poetry geology economics juggling beekeeping"),
        "animal": words("goat turtle ferret canary donkey"),
        "team": words("Panthers Ravens Dragons Pirates Hornets"),
        "color": words("yellow purple golden white grey"),
    },
}
