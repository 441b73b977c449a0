"""What of a prompt is read: in comes a text, out comes the part of it that says what is asked for.

Left out are what people put around a request without changing it: instructions to an assistant that stand before it
("You are a helpful assistant. Answer briefly."), greetings, thanks, "please", and the punctuation at the very end.
Where nothing would be left ("hello!"), the text stays as it is. Knows English only; other text passes unchanged.
"""

import re

_MOST_READ = 4_000  # characters of instructions that are looked through: bounds the time
_LONGEST_CLOSING = 100
_LEAST_LEFT = 2  # letters or digits

_THERE = r"(?:\s+(?:there|all|again|everyone|team|folks|guys|mate|assistant|bot|ai))?"
_GREETING = rf"(?:hi|hiya|hello|hey|heya|howdy|greetings|good\s+(?:morning|afternoon|evening|day)|excuse\s+me){_THERE}"
_PLEASE = r"(?:please|pls|plz|kindly)"
_HELP = (
    r"(?:i\s+(?:hope|trust|wonder\s+(?:if|whether))\s+you\s+(?:can|could)\s+help(?:\s+me)?"
    r"|(?:can|could|would|will)\s+(?:you|u)\s+(?:please\s+|kindly\s+)?(?:help|assist)\s+(?:me|us)"
    r"|(?:please\s+)?help\s+me|i\s+need\s+(?:some\s+|your\s+)?help)"
    r"(?:\s+(?:out|please))*(?:\s+(?:with|on)\s+(?:this|that|it|the\s+following|something)(?:\s+\w+)?)?\s*[,.:!?;-]"
)
_ASIDE = (
    r"(?:(?:a\s+)?quick\s+(?:one|question)|(?:just\s+)?a\s+question|question|sorry\s+to\s+(?:bother|disturb)\s+you"
    r"|(?:here\s+is|here's)\s+my\s+(?:question|request)|my\s+(?:question|request)\s+is(?:\s+(?:this|as\s+follows))?)\s*[,.:!;-]"
)
_QUESTION_WORD = r"\s+(?:how|what|why|when|where|who|which|if|whether)\b"
_TELL = rf"(?:tell\s+me|let\s+me\s+know|(?:show|explain\s+to|help)\s+me(?={_QUESTION_WORD}))"
_ASKING = (
    rf"(?:(?:(?:can|could|would|will)\s+(?:you|u)\s+(?:please\s+|kindly\s+|maybe\s+|possibly\s+)?{_TELL}"
    rf"|(?:i\s+was\s+|i'm\s+|i\s+am\s+|just\s+)?wondering(?:\s+(?:if|whether)\s+you\s+(?:can|could)\s+{_TELL})?"
    rf"|i(?:\s+would|'d)?\s+(?:really\s+)?(?:like|want|need|love|wish)\s+(?:you\s+to\s+{_TELL}|to\s+(?:know|ask|find\s+out|understand))"
    rf"|(?:do|would)\s+you\s+(?:happen\s+to\s+)?know|(?:may|can|could)\s+i\s+ask(?:\s+you)?|i\s+have\s+a\s+question|{_TELL})"
    rf"(?:(?=\s*[:,])|(?={_QUESTION_WORD})))"
)
_OPENING = re.compile(
    rf"\s*(?:{_HELP}|{_ASIDE}|{_ASKING}|(?:{_GREETING}|{_PLEASE})(?![\w'/-]))[\s,.:;!-]*", re.IGNORECASE
)

_THANKS = (
    r"(?:(?:many\s+|a\s+lot\s+of\s+)?thanks|thank\s+(?:you|u)|thx|ty|tia|cheers|much\s+appreciated)"
    r"(?:\s+(?:so\s+much|very\s+much|a\s+(?:lot|million|bunch)|again|in\s+advance|for\s+(?:your|the|any)\s+help|mate))*"
)
_CLOSING = re.compile(rf"(?:(?<=[\s,.!?;:-])(?:{_THANKS}|{_PLEASE})[\s,.!:)]*|[\s.?!…,;]+)$", re.IGNORECASE)

# A clause is a courtesy where all of its words are of these, and one of the courteous.
_COURTEOUS_WORDS = """
afternoon answer apologies appreciate appreciated asap ask asking assist assistance bother bothering cheers curious
dear evening excuse favor favour grateful greetings guidance hello help helped helping hey hi hope hoping kind kindly
look mate mind minute moment morning obliged ok okay please pls plz question questions quick sorry thank thankful
thanks thing thx tia ty welcome wonder wondering yo
"""
_FILLING_WORDS = """
a able about advance again all always an and another any anybody anyone are as at attention back basic be been before
below bit brief busy but can check could day did disturb disturbing do does doing don't dumb else enough even everyone
far few find finds fine first folks following for friend friends from get give glance go good got great had happy has
have having hear here here's i i'd i'll i'm i've if in into is isn't it it's just know last let like little
looking lot lots love madam made makes many may maybe me million more most much my need new nice no not now of off on
once one other out over possible pretty quickly reading really request respond right second see sense short silly
simple sir small so some somebody someone something soon spare still stuck stupid sure take taking team tell than that
that's the them then there these things this those time to today ton too trouble try u up us very want was we week
well were while will with would yet you you're your
"""
_COURTEOUS = frozenset(_COURTEOUS_WORDS.split())
_SMALL_TALK = _COURTEOUS | frozenset(_FILLING_WORDS.split())
_LETTERS = re.compile(r"[a-z]+")
_FIRST_CLAUSE = re.compile(r"\s*([\w'\u2019 ]{2,80}?)\s*(?:[:.!?,;]+|\s-+)\s+")
_LAST_CLAUSE = re.compile(r"(?<=[.!?,;\n])\s*([\w'\u2019 ]{2,80})[\s.!?,;:)]*$")

# Marks that chat templates put around roles.
_TEMPLATE = re.compile(r"<\|[\w ]{1,24}\|>(?:system|user|assistant)?|\[/?INST\]|<</?SYS>>|</?s>")
_ROLE = re.compile(
    r"[#*\[<\s]*(?:user|human|question|query|prompt|input|request|message)[\]>*\s]*[:\n]\s*", re.IGNORECASE
)
_BORDER = re.compile(r"(?<=\D[.!?])[\"')\]]*\s+|\s*\n\s*")
_PARAGRAPH = re.compile(r"\s*\n\s*\n\s*")

# How a text begins that tells an assistant what it is.
_ADDRESS = re.compile(
    r"[\W_]*(?:\w+[,:]\s+)?(?:system\b|this\s+(?:gpt|assistant|(?:chat\s?)?bot|ai)\b|instructions?\b|assistant\b|rules\b"
    r"|(?:from\s+now\s+on\W+)?you(?:\s+are(?!\s+given)|['\u2019]re|\s+will|\s+must|\s+should|\s+only|\s+never|\s+always"
    r"|\s+(?:act|answer|reply|respond|speak|write|behave))\b|your\s+(?:name|role|task|job|goal|purpose|mission)\b"
    r"|role\s*:|(?:always\s+)?be\s+(?:brief|concise|direct|helpful|honest|polite|precise|truthful)\b"
    r"|(?:i\s+want\s+you\s+to\s+|please\s+|you\s+will\s+)?(?:act|behave|respond|answer|pretend|imagine)\b"
    r"|(?:assume|take|play|adopt)\s+(?:on\s+)?the\s+(?:role|part|persona)\b|(?P<shown>(?:below|this|the\s+following|here)\s+(?:is|are)\b)"
    r"|the\s+following\s+(?:rules|instructions|guidelines)\b"
    r"|(?:as\s+)?(?:an?|the)\s.{0,60}\b(?:assistant|ai|artificial\s+intelligence|chat\s?bot|language\s+model)\b)",
    re.IGNORECASE,
)
# What such texts speak of, sentence by sentence: the assistant, its user, and how to answer.
_CUE = re.compile(
    r"\b(?:assistants?|ai|artificial\s+intelligence|(?:chat\s?)?bot|language\s+model|llm|(?:chat)?gpt|persona|role|act\s+as"
    r"|you(?:\s+are\s+(?:now\s+)?(?:an?|the|(?-i:[A-Z])\w+)|['\u2019]re\s+an?|\s+will|\s+must|\s+should|\s+never|\s+always|\s+may|\s+do\s+not)"
    r"|your\s+(?:\w+\s+)?(?:name|role|tasks?|job|goal|purpose|mission|answers?|responses?|repl(?:y|ies)|output|tone|audience|instructions)"
    r"|users?(?:['\u2019]s?)?|customers?|humans?|instructions?|rules|system\s+prompt|conversation|chat|quer(?:y|ies)"
    r"|answer(?:s|ing|ed)?|respon(?:d|ds|se|ses)|repl(?:y|ies)|questions?|helpful(?:ly)?|polite(?:ly)?|concise(?:ly)?|brief(?:ly)?"
    r"|honest(?:ly)?|harmless|harmful|truthful(?:ly)?|respectful|professional(?:ly)?|friendly|accurate(?:ly)?|factual(?:ly)?"
    r"|knowledgeable|expert|tone|style|jargon|markdown|bullet\s+points?|emojis?|disclaimers?|preamble|paragraphs?|step\s+by\s+step"
    r"|limit|exceed|readers?|always|never|avoid|do\s+not|don['\u2019]t|ensure|make\s+sure|remember\s+to|try\s+to|stay|remain|refuse|decline|unsure|confidential"
    r"|apologi(?:es|[sz]e)|output|commentary|pleasantries|filler|speculat(?:e|ion)|make\s+up|invent|cite|profanity|plain\s+words|simple\s+words|examples?)\b",
    re.IGNORECASE,
)
# How its further sentences begin. Sentences of requests do so, too, therefore these count only behind others.
_RULE = r"be|keep|provide|offer|present|speak|remember|greet|escalate|no|admit|encourage|adapt|maintain|focus"
_MANNER = re.compile(
    rf"[\W\d_]*(?:(?P<rule>{_RULE})|you|it|use|check|take\s+your\s+time|think|help|end|start|write|include|give|prefer|assume"
    r"|current\s+date|knowledge\s+cut-?off|today(?:['\u2019]s|\s+is))\b",
    re.IGNORECASE,
)
# Of all that is left out, but for a whole paragraph: a question may begin with "You are a nurse on night duty", too.
_LEAST_CUES = 2
_MOST_ASIDES = 2  # sentences without a cue between others

_WITH_APOSTROPHE = re.compile(r"\b[a-z]{1,6}['\u2019][a-z]{1,2}\b", re.IGNORECASE)
_BARE_FORMS = frozenset(
    ["whats", "wheres", "whos", "hows", "dont", "doesnt", "didnt", "isnt", "arent", "wont", "cant", "cannot", "im"]
)
_BARE = re.compile(rf"\b(?:{'|'.join(sorted(_BARE_FORMS))})\b", re.IGNORECASE)
_WHOLE_FORMS = {
    **{
        f"{word}s": f"{word} is"
        for word in ("what", "where", "who", "how", "when", "why", "that", "there", "it", "here")
    },
    **{
        f"{word}nt": f"{word} not"
        for word in ("do", "does", "did", "is", "are", "was", "were", "would", "could", "should", "has", "have", "had")
    },
    **{f"{word}re": f"{word} are" for word in ("you", "we", "they", "what")},
    **{f"{word}ve": f"{word} have" for word in ("i", "you", "we", "they")},
    **{f"{word}ll": f"{word} will" for word in ("i", "you", "he", "she", "it", "we", "they", "that")},
    **{f"{word}d": f"{word} would" for word in ("i", "you", "he", "she", "we", "they")},
    "im": "i am",
    "cant": "can not",
    "cannot": "can not",
    "wont": "will not",
}


def normalise(text: str) -> str:
    """The part of `text` that says what is asked for; `text`, stripped, where that would be nothing."""
    request = _without_courtesies(_without_instructions(_without_opening(text))).strip() or text.strip()
    if "'" in request or "\u2019" in request:
        request = _WITH_APOSTROPHE.sub(_long_form, request)
    return request if _BARE_FORMS.isdisjoint(request.lower().split()) else _BARE.sub(_long_form, request)


def _long_form(found: re.Match[str]) -> str:
    """What's and whats as what is: one wording of what is said in two."""
    whole = _WHOLE_FORMS.get(found[0].lower().replace("'", "").replace("\u2019", ""))
    return found[0] if whole is None else whole


def _without_opening(text: str) -> str:
    start = 0
    while (opening := _courteous_opening(text, start)) and _enough(text[opening.end() :]):
        start = opening.end()
    return text[start:]


def _without_courtesies(text: str) -> str:
    text = _without_opening(text)
    while (closing := _courteous_closing(text)) and _enough(text[: closing.start()]):
        text = text[: closing.start()]
    return text


def _courteous_opening(text: str, start: int) -> re.Match[str] | None:
    clause = _FIRST_CLAUSE.match(text, start)
    return clause if clause and _courteous(clause[1]) else _OPENING.match(text, start)


def _courteous_closing(text: str) -> re.Match[str] | None:
    start = max(0, len(text) - _LONGEST_CLOSING)
    if text[-1:].isalnum() and _COURTEOUS.isdisjoint(_LETTERS.findall(text[start:].lower())):
        return None  # most prompts: the searches below would look at every place for what is not there
    clause = _LAST_CLAUSE.search(text, start)
    return clause if clause and _courteous(clause[1]) else _CLOSING.search(text, start)


def _courteous(clause: str) -> bool:
    words = set(clause.lower().replace("\u2019", "'").split())
    return words <= _SMALL_TALK and not words.isdisjoint(_COURTEOUS)


def _without_instructions(text: str) -> str:
    """What follows the sentences that tell an assistant what it is and how to answer."""
    if text.startswith(("<", "[")):
        text = _TEMPLATE.sub("\n", text).strip()
    address = _ADDRESS.match(text)
    if not address:
        return text
    start, cues, asides, sentence, least, enough = 0, 0, 0, 0, 0, _LEAST_CUES
    for border in _BORDER.finditer(text, 0, _MOST_READ):
        if not _enough(text[border.end() :]) or text[border.start() - 1] == "?":
            break  # what is left, and what is asked, is the request
        manner = _MANNER.match(text, sentence)
        found = _cues(text, sentence, border.start()) + (manner is not None and manner["rule"] is not None)
        if found >= least:
            start, cues, asides = border.end(), cues + found, 0
        elif not manner:  # else it is told by what follows: requests begin like that, too
            asides += 1
        sentence = border.end()
        new_paragraph = _PARAGRAPH.fullmatch(text, border.start(), border.end()) is not None
        least = 2 if asides or new_paragraph else 1
        if asides > _MOST_ASIDES or (asides and new_paragraph):
            break
    paragraph = _PARAGRAPH.search(text, 0, _MOST_READ)
    if (
        paragraph
        and start <= paragraph.end()
        and "?" not in text[: paragraph.start()]
        and _enough(text[paragraph.end() :])
    ):
        # All of the first paragraph is of one kind, and what follows is the request.
        start, cues = paragraph.end(), max(cues, _cues(text, 0, paragraph.start()))
        enough = _LEAST_CUES if address["shown"] else 1  # "Below is a letter" may begin a request as well
    if cues < enough:
        return text
    role = _ROLE.match(text, start)
    return text[start if role is None else role.end() :]


def _cues(text: str, start: int, end: int) -> int:
    return len({cue.lower() for cue in _CUE.findall(text, start, end)})


def _enough(text: str) -> bool:
    return sum(map(str.isalnum, text[:80])) >= _LEAST_LEFT
