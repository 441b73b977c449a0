"""The program that measures copies on a GPU, tried on CPU tensors: what it counts and compares, not its figures."""

import pytest
import torch

from benchmarks.image_copy import CopyError, main, measure
from benchmarks.llama_shapes import LlamaShape
from workers.weights.image import KernelImage

SMALL = LlamaShape(layers=2, hidden=64, inner=128, heads=4, keys=32, vocabulary=100)
CPU = torch.device("cpu")


def test_all_bytes_of_the_shape_are_copied_and_none_beside_them() -> None:
    found = measure(SMALL, rounds=2, device=CPU, block=4096)
    assert found.nbytes == 2 * sum(torch.Size(size).numel() for _, size in SMALL.checkpoint())
    assert found.tensors == 2 * 6 + 3
    assert found.extra_bytes == 0
    assert found.install_s <= found.install_p95_s
    assert not found.pinned
    assert found.share_of_link == pytest.approx(found.nbytes / found.install_s / found.link)


def test_other_weights_than_the_image_was_taken_of_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KernelImage, "install", lambda image, live: 1)
    with pytest.raises(CopyError, match="other weights"):
        measure(SMALL, rounds=1, device=CPU, block=4096)


def test_a_machine_without_a_gpu_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 1
    assert "sees no GPU" in capsys.readouterr().err
