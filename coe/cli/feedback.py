"""`coe feedback`: score an answer of a running service."""

from __future__ import annotations

from typing import Annotated

import typer

from coe.cli.arguments import DEFAULT_URL, JsonOption, UrlOption


def feedback(
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The reply's `x-request-id`.")],
    score: Annotated[float, typer.Argument(metavar="SCORE", help="How good the answer was: 0 bad, 1 good.")],
    comment: Annotated[str | None, typer.Option("--comment", help="Why, in up to 2,000 characters.")] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """Score the answer to request REQUEST_ID with SCORE in [0, 1]; a second score replaces the first."""
    from coe.cli.client import error_message, service_client
    from coe.errors import InputError, InvalidRequestError

    if not 0 <= score <= 1:
        raise InputError(f"SCORE must be a number in [0, 1], not {score}.")
    said = {"request_id": request_id, "score": score}
    with service_client(url) as client:
        response = client.post("/v1/feedback", json=said if comment is None else {**said, "comment": comment})
        if response.is_client_error:
            raise InvalidRequestError(error_message(response))
        response.raise_for_status()
        kept = response.json()
    if as_json:
        typer.echo(response.text)
        return
    if kept["counts_for_map"]:
        typer.echo(f"{score:g} for {kept['expert']} in {kept['category']}")
    else:
        typer.echo(
            f"{score:g} for {kept['expert']}, in no category: the request named the expert, so no map learns of it"
        )
