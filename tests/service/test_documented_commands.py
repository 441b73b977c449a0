"""Every command and program of README.md and docs/ that asks a service, asked of the one that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.docs.execution import assert_runs, how, prepare_folder
from tests.docs.pages import Block, pages
from tests.docs.shell import Command, documented_commands
from tests.service.running import RunningService

pytestmark = [pytest.mark.service, pytest.mark.engine, pytest.mark.timeout(900)]

ADDRESS = "http://127.0.0.1:8000"
ADDRESS_BY_NAME = "localhost:8000"
ASKING = [command for command in documented_commands() if how(command) == "service"]
PROGRAMS = [block for page in pages() for block in page.blocks("python")]
EXAMPLES = [("How many are 2 boxes of 6 eggs?", "12"), ("How many are 3 boxes of 12 eggs?", "36")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    prepare_folder(folder)
    rows = [json.dumps({"prompt": prompt, "completion": answer}) for prompt, answer in EXAMPLES]
    (folder / "examples.jsonl").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def values(local_service: RunningService) -> Iterator[Mapping[str, str]]:
    """What stands for the address, for a request that was answered, and for the reader's own expert."""
    with httpx.Client(base_url=local_service.url, timeout=600) as client:
        body = {"model": "coe", "max_tokens": 8, "messages": [{"role": "user", "content": EXAMPLES[0][0]}]}
        # Likelihoods at once: vLLM compiles what counts them at the first request for them, minutes on a busy machine.
        answered = client.post("/v1/chat/completions", json=body | {"prompt_logprobs": 0}).raise_for_status()
        yield {
            ADDRESS: local_service.url,
            ADDRESS_BY_NAME: local_service.url,
            "REQUEST_ID": answered.headers["x-request-id"],
            "load mine": "load extractor",
        }
        for expert in client.get("/v1/models").json()["data"]:
            client.post(f"/v1/experts/{expert['id']}/unpin")  # what the documented `coe pin` has pinned


@pytest.mark.parametrize("command", ASKING, ids=str)
def test_a_documented_command_is_answered(
    command: Command, values: Mapping[str, str], folder: Path, local_service: RunningService
) -> None:
    printed = assert_runs(command, folder, values, COE_URL=local_service.url)

    assert printed.strip()
    if command.text.startswith("curl -i"):
        assert printed.startswith("HTTP/1.1 200")
        assert "x-coe-expert: arithmetician" in printed


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.place)
def test_a_documented_program_prints_an_answer(block: Block, values: Mapping[str, str], folder: Path) -> None:
    program = block.text.replace(ADDRESS, values[ADDRESS])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "select" in done.stdout.lower()  # all of them ask for a query
