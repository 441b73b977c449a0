"""`coe chat`: talk to a running service from the terminal."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from coe.cli.arguments import DEFAULT_URL, UrlOption


def chat(
    prompt: Annotated[
        str | None, typer.Argument(metavar="[PROMPT]", help="Ask once; without it, a conversation.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="`coe`, `coe/PLAN`, or the name of an expert.")] = "coe",
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Chat with a running service. The answer streams to stdout; which expert gave it goes to stderr."""
    messages: list[dict[str, str]] = []
    if prompt is not None:
        _ask(url, model, messages, prompt)
        return
    typer.echo("Type a message; Ctrl-D ends.", err=True)
    while True:
        try:
            text = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if text:
            _ask(url, model, messages, text)


def _ask(url: str, model: str, messages: list[dict[str, str]], text: str) -> None:
    from coe.cli.client import another_service, service_client

    messages.append({"role": "user", "content": text})
    pieces: list[str] = []
    body = {"model": model, "messages": messages, "stream": True}
    with (
        service_client(url, timeout_s=600.0) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as response,
    ):
        if response.is_error:
            response.read()
        response.raise_for_status()
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise another_service(url)
        headers = response.headers
        typer.secho(f"[{headers.get('x-coe-expert', model)}, {headers.get('x-coe-category', '-')}]", err=True, dim=True)
        for line in response.iter_lines():
            if piece := _content(line):
                pieces.append(piece)
                typer.echo(piece, nl=False)
    typer.echo()
    messages.append({"role": "assistant", "content": "".join(pieces)})


def _content(line: str) -> str:
    """The text in one line of a stream.

    Raises:
        StartupError: the line tells of a failure.
    """
    import orjson

    from coe.errors import StartupError

    if not line.startswith("data: ") or line == "data: [DONE]":
        return ""
    event = orjson.loads(line.removeprefix("data: "))
    if "error" in event:
        raise StartupError(event["error"]["message"])
    choices = event["choices"]
    return choices[0]["delta"].get("content") or "" if choices else ""
