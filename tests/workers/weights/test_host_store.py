"""The store of a worker's host memory, with CUDA scripted where there is none."""

import time
from pathlib import Path

import pytest
import torch

from tests.workers.weights.checkpoint_files import WEIGHTS, write_checkpoint
from workers.weights import pinned
from workers.weights.host_store import HostStore


def test_a_gpu_may_be_named_without_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int | None] = []

    def scripted_exchange(number: int | None) -> int:
        chosen.append(number)
        return 0

    monkeypatch.setattr(torch.cuda, "_exchange_device", scripted_exchange)
    monkeypatch.setattr(torch.cuda, "_maybe_exchange_device", lambda number: number)
    monkeypatch.setattr(pinned, "_register", lambda _: False)
    file = write_checkpoint(tmp_path / "c") / WEIGHTS
    store = HostStore(torch.device("cuda"), keep_images=False)
    store.fetch("c", [file])
    while store.fetched("c") is None:
        time.sleep(0.001)
    assert len(chosen) == 1
    assert store.held()["c"] > 0
