"""What people put around a request is not read; the request is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routers.normalise import normalise

REQUEST = "how do i say good night in Danish"
INSTRUCTIONS = (
    "You are a helpful assistant.",
    "You're a friendly chatbot who loves to help people. Be concise!",
    "Act as an experienced guide. Your answers are short. Do not apologise.",
    "System: you work for a bank. Customers write to you. Always answer politely and never promise anything.",
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives polite answers.",
    "<|im_start|>system\nYou are a careful assistant.<|im_end|>\n<|im_start|>user",
    "[INST] <<SYS>> Answer truthfully. You are an honest assistant. <</SYS>>",
    "You are an AI. Rules: 1. Be truthful. 2. Be brief. 3. Never use profanity.",
    "### Instructions\n- Answer the message below.\n- No preamble.\n- Reply in British English.",
)


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
@pytest.mark.parametrize("between", ["\n\n", "\n", " "])
def test_instructions_to_an_assistant_before_a_request_are_left_out(instructions: str, between: str) -> None:
    assert normalise(instructions + between + REQUEST) == REQUEST


@pytest.mark.parametrize(
    "text",
    [
        f"Hi there, please {REQUEST}",
        f"hello! could you help me with this: {REQUEST}?",
        f"{REQUEST}, thanks in advance!",
        f"  {REQUEST}??  Thank you so much.",
        f"I was wondering if you could tell me {REQUEST}.",
        f"please {REQUEST} please",
        f"Would you mind helping me out here? {REQUEST}",
        f"Good evening. If you have a moment, could you have a look at this for me: {REQUEST}",
        f"{REQUEST}. Hope that makes sense. Many thanks for looking into this!",
    ],
)
def test_courtesies_and_the_last_punctuation_are_left_out(text: str) -> None:
    assert normalise(text) == REQUEST


@pytest.mark.parametrize(
    "instructions",
    [
        "Role: senior expert. Style: factual, brief. Audience: adults.",
        "Be concise. You are talking to busy people who want no chatter.",
        "Hello! From now on you answer as an expert. No filler. Start with the answer.",
    ],
)
def test_a_paragraph_that_only_speaks_to_an_assistant_is_left_out(instructions: str) -> None:
    assert normalise(f"{instructions}\n\n{REQUEST}") == REQUEST


def test_a_request_whose_last_instruction_could_be_one_to_an_assistant_keeps_it() -> None:
    request = "Write a poem of four lines about the sea"
    assert normalise(f"You are a helpful assistant. Always answer politely. {request}") == request


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("what's up", "what is up"),
        ("whats up", "what is up"),
        ("I can't see", "I can not see"),
        ("it\u2019s me", "it is me"),
    ],
)
def test_contractions_are_spelled_out(short: str, long: str) -> None:
    assert normalise(short) == long


@pytest.mark.parametrize(
    "request_itself",
    [
        "You are a nurse on night duty. A patient falls. Whom do you call first",
        "Your task is to implement `mask(s)`, returning s with all but four characters replaced. Use Python",
        "Act two of the play: who dies",
        "Below is a paragraph from a novel of mine. List the traits of the hero\n\nTall as he was, Edmund had to stoop",
        "my flight was late, how busy will it be",
        "highlight the hit song in this list",
        "tell me a joke",
        "This is an excerpt from a novel. Translate it: Der Zug kam. Die Frau stieg ein",
        "dogs do not bark at John's cat",
        "请问 现在几点",
    ],
)
def test_a_request_that_only_sounds_like_them_stays(request_itself: str) -> None:
    assert normalise(request_itself) == request_itself


@pytest.mark.parametrize("text", ["hello!", "please", "Thanks!", "You are a helpful assistant.", "Hi, thank you"])
def test_where_nothing_else_is_said_something_is_left(text: str) -> None:
    assert normalise(text)


@given(st.text(max_size=300))
def test_any_text_gives_a_text_and_only_blank_text_gives_none(text: str) -> None:
    assert bool(normalise(text)) == bool(text.strip())


def test_a_very_long_text_takes_no_time_to_speak_of() -> None:
    assert normalise("You are a helpful assistant. " * 4_000 + REQUEST).endswith(REQUEST)
