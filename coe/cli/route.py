"""`coe route`: say where a prompt would go, without a running service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from coe.cli.arguments import DEFAULT_CONFIG, JsonOption


def route(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The prompt; `-` reads it from standard input.")],
    config: Annotated[
        Path, typer.Option("--config", help="The service whose router and expert map decide.")
    ] = DEFAULT_CONFIG,
    plan: Annotated[
        str | None, typer.Option("--plan", help="The plan to show; without it, that of the prompt's category.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Classify PROMPT and name expert and plan that would answer. Runs no model but the router's encoder."""
    import sys

    import orjson

    from coe.config.load import load_config
    from coe.errors import InvalidRequestError
    from coe.plan.building import Found
    from coe.plan.loading import load_planner
    from coe.plan.options import PlanOptions
    from coe.plan.tree import plan_tree
    from coe.routing import load_routing
    from coe.runtime import cache_directory

    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise InvalidRequestError("The prompt is empty; give some text.")
    loaded = load_config(config)
    routing = load_routing(loaded, cache_directory())
    routing.route((text,))  # the first call warms up; the second is what a service takes
    started = time.perf_counter()
    routed = routing.route((text,))
    router_ms = (time.perf_counter() - started) * 1000
    found, expert = routed.classification, routed.expert
    general = loaded.config.router.general
    found_before = Found(expert, found.category, general, found.probabilities, routed.strengths)
    chosen = load_planner(loaded).plan(found_before, PlanOptions(plan=plan))
    tree = plan_tree(chosen, [{"role": "user", "content": text}])
    if as_json:
        decision = {"category": found.category, "confidence": found.confidence, "abstained": found.abstained}
        more = {"expert": expert, "probabilities": found.probabilities, "router_ms": router_ms}
        version = {"router_version": routed.router_card.version, "plan": chosen.label, "tree": tree}
        typer.echo(orjson.dumps(decision | more | version, option=orjson.OPT_INDENT_2).decode())
        return
    typer.echo(f"{found.category} ({found.confidence:.2f}) -> {expert}, {router_ms:.2f} ms")
    for line in tree.lines(1):
        typer.echo(line)
    for category, probability in sorted(found.probabilities.items(), key=lambda item: -item[1]):
        typer.echo(f"  {probability:6.3f} {category}")
