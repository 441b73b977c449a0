"""The sentences of the extraction domain: by split the kinds of sentences, their keys and patterns.

In a pattern `{slot}` is filled from the slot's source; a key is one of the names that the prompt may give the slot.
"""

from dataclasses import dataclass

from benchmarks.domains.task import Split


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a value comes from (a name in `extraction_vocabulary.VALUES`, or `number`), and the keys asking for it."""

    source: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """Sentences of one kind: every pattern holds every slot once."""

    slots: dict[str, Slot]
    patterns: tuple[str, ...]


INSTRUCTIONS: dict[Split, tuple[str, ...]] = {
    "train": (
        "Extract {keys} as JSON.\nText: {text}",
        "Return a JSON object with the keys {keys}.\n{text}",
        "{text}\nGive {keys} as JSON.",
        'Read: "{text}" Write JSON with {keys}.',
        "Find {keys} in the text and answer in JSON.\nText: {text}",
    ),
    "heldout": (
        "Turn this note into JSON (fields: {keys}): {text}",
        "Note: {text}\nWhich {keys} does it state? Reply with one JSON object.",
        "I need {keys} out of the following message, in JSON.\nMessage: {text}",
    ),
}

KINDS: dict[Split, dict[str, Kind]] = {
    "train": {
        "order": Kind(
            {
                "who": Slot("person", ("customer", "buyer", "name")),
                "what": Slot("item", ("item", "product")),
                "count": Slot("number", ("quantity", "count")),
                "city": Slot("city", ("city", "destination")),
            },
            (
                "{who} ordered {count} {what} to be sent to {city}.",
                "{who} from {city} bought {count} {what}.",
                "An order of {count} {what} for {who} goes to {city}.",
                "Please ship {count} {what} to {who} in {city}.",
            ),
        ),
        "appointment": Kind(
            {
                "who": Slot("person", ("patient", "name")),
                "host": Slot("person", ("doctor", "physician")),
                "day": Slot("day", ("date", "day")),
                "time": Slot("time", ("time", "hour")),
            },
            (
                "{who} has an appointment with Dr. {host} on {day} at {time}.",
                "Dr. {host} will see {who} at {time} on {day}.",
                "On {day} at {time}, {who} visits Dr. {host}.",
            ),
        ),
        "trip": Kind(
            {
                "who": Slot("person", ("traveler", "passenger", "name")),
                "start": Slot("city", ("origin", "from")),
                "end": Slot("city", ("destination", "to")),
                "day": Slot("day", ("date", "day")),
            },
            (
                "{who} flies from {start} to {end} on {day}.",
                "On {day}, {who} takes the train from {start} to {end}.",
                "{who} booked a ticket to {end} from {start} for {day}.",
                "The trip of {who} starts in {start} on {day} and ends in {end}.",
            ),
        ),
        "job": Kind(
            {
                "who": Slot("person", ("name", "employee", "person")),
                "role": Slot("role", ("job", "role", "position")),
                "company": Slot("company", ("company", "employer")),
                "city": Slot("city", ("city", "location")),
            },
            (
                "{who} works as a {role} at {company} in {city}.",
                "{company} hired {who} as a {role} in {city}.",
                "In {city}, {who} is the new {role} of {company}.",
            ),
        ),
        "reservation": Kind(
            {
                "who": Slot("person", ("name", "guest")),
                "count": Slot("number", ("people", "guests", "seats")),
                "day": Slot("day", ("date", "day")),
                "time": Slot("time", ("time", "hour")),
            },
            (
                "{who} reserved a table for {count} people on {day} at {time}.",
                "A table for {count} is booked on {day} at {time} under the name {who}.",
                "Reservation: {who}, {count} guests, {day}, {time}.",
            ),
        ),
        "talk": Kind(
            {
                "who": Slot("person", ("speaker", "name", "presenter")),
                "topic": Slot("topic", ("topic", "subject")),
                "room": Slot("number", ("room", "room_number")),
                "time": Slot("time", ("time", "start")),
            },
            (
                "{who} gives a talk about {topic} in room {room} at {time}.",
                "At {time}, {who} speaks on {topic} in room {room}.",
                "The {topic} lecture by {who} begins at {time} in room {room}.",
            ),
        ),
        "pet": Kind(
            {
                "who": Slot("person", ("owner", "person")),
                "pet": Slot("animal", ("animal", "species")),
                "name": Slot("person", ("pet_name", "pet")),
                "age": Slot("number", ("age", "years")),
            },
            (
                "{who} has a {pet} called {name} that is {age} years old.",
                "The {pet} of {who} is named {name} and is {age} years old.",
                "{name}, a {age}-year-old {pet}, belongs to {who}.",
            ),
        ),
        "match": Kind(
            {
                "winner": Slot("team", ("winner", "winning_team")),
                "loser": Slot("team", ("loser", "losing_team")),
                "points": Slot("number", ("points", "goals")),
                "city": Slot("city", ("city", "location")),
            },
            (
                "The {winner} beat the {loser} in {city} with {points} points.",
                "In {city} the {loser} lost to the {winner}, who scored {points} goals.",
                "The {winner} scored {points} points against the {loser} and won in {city}.",
            ),
        ),
        "car": Kind(
            {
                "who": Slot("person", ("renter", "name", "customer")),
                "color": Slot("color", ("color", "car_color")),
                "days": Slot("number", ("days", "duration")),
                "city": Slot("city", ("city", "location")),
            },
            (
                "{who} rents a {color} car in {city} for {days} days.",
                "For {days} days, {who} drives a {color} car from {city}.",
                "A {color} car was rented by {who} in {city} for {days} days.",
            ),
        ),
        "message": Kind(
            {
                "who": Slot("person", ("sender", "from")),
                "to": Slot("person", ("recipient", "to", "receiver")),
                "what": Slot("item", ("item", "subject")),
                "day": Slot("day", ("date", "day")),
            },
            (
                "{who} wrote to {to} about the {what} on {day}.",
                "On {day}, {to} got a letter from {who} about the {what}.",
                "{who} sent the {what} to {to} on {day}.",
            ),
        ),
    },
    "heldout": {
        "order": Kind(
            {
                "who": Slot("person", ("client", "customer")),
                "what": Slot("item", ("goods", "product")),
                "count": Slot("number", ("amount", "quantity")),
                "city": Slot("city", ("town", "city")),
            },
            (
                "Our client {who}, who lives in {city}, would like {count} {what}.",
                "{count} {what} left the warehouse for {city} yesterday; {who} will sign for them.",
            ),
        ),
        "appointment": Kind(
            {
                "who": Slot("person", ("visitor", "patient")),
                "host": Slot("person", ("dentist",)),
                "day": Slot("day", ("date",)),
                "time": Slot("time", ("time", "clock")),
            },
            (
                "Reminder for {who}: your dentist {host} expects you at {time}, {day}.",
                "The dentist {host} moved the check-up of {who} to {day}, {time}.",
            ),
        ),
        "trip": Kind(
            {
                "who": Slot("person", ("rider", "passenger")),
                "start": Slot("city", ("departure", "origin")),
                "end": Slot("city", ("arrival", "destination")),
                "day": Slot("day", ("date", "travel_day")),
            },
            (
                "{who} leaves {start} on {day} by bus and gets off in {end}.",
                "Bus ticket, {day}: {start} - {end}, seat held for {who}.",
            ),
        ),
        "job": Kind(
            {
                "who": Slot("person", ("worker", "name")),
                "role": Slot("role", ("profession", "job")),
                "company": Slot("company", ("firm", "company")),
                "city": Slot("city", ("town", "city")),
            },
            (
                "After years in {city}, {who} still earns a living as {role} with {company}.",
                "{company} has an office in {city} where a {role} named {who} sits.",
            ),
        ),
        "talk": Kind(
            {
                "who": Slot("person", ("lecturer", "speaker")),
                "topic": Slot("topic", ("theme", "topic")),
                "room": Slot("number", ("hall", "room")),
                "time": Slot("time", ("begin", "time")),
            },
            (
                "Come to hall {room}: {who} explains {topic}, doors close at {time}.",
                "Today's workshop on {topic} with {who} was put into hall {room} for {time}.",
            ),
        ),
        "pet": Kind(
            {
                "who": Slot("person", ("keeper", "owner")),
                "pet": Slot("animal", ("kind", "animal")),
                "name": Slot("person", ("nickname", "pet_name")),
                "age": Slot("number", ("age",)),
            },
            (
                "At {age} years of age, {name} is the oldest {pet} that {who} ever kept.",
                "{who} brought in a {pet}; it answers to {name} and turned {age} last week.",
            ),
        ),
        "loan": Kind(
            {
                "who": Slot("person", ("reader", "borrower")),
                "topic": Slot("topic", ("book_topic", "topic")),
                "day": Slot("day", ("due", "date")),
                "weeks": Slot("number", ("weeks", "loan_weeks")),
            },
            (
                "The library lent {who} a book on {topic} for {weeks} weeks; it is due on {day}.",
                "{who} must bring back the {topic} book by {day}, {weeks} weeks after taking it.",
            ),
        ),
        "sighting": Kind(
            {
                "who": Slot("person", ("witness", "reporter")),
                "animal": Slot("animal", ("animal", "creature")),
                "color": Slot("color", ("color", "coat")),
                "time": Slot("time", ("time", "seen_at")),
            },
            (
                "Around {time} a {color} {animal} crossed the road, says {who}.",
                "{who} called at {time} to report a lost {animal} with a {color} coat.",
            ),
        ),
    },
}
