"""Prepare a model folder in a process of its own, so that the worker neither loads torch nor stalls while it happens.

In: a command line, `convert GGUF DIRECTORY` or `download REPOSITORY [REVISION]`. Out: exit status 0 and, for a
download, the folder's path as the last line on stdout; else exit status 1 and the reason as the last line on stderr.
It is run by file path and imports nothing of this package. Locks, caches and checksums are the caller's business.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

# Weights come as safetensors alone: every other weight format can carry code.
DOWNLOADED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
NOT_DOWNLOADED = ("onnx/*", "openvino/*", "original/*", "coreml/*")


def convert(gguf: Path, directory: Path) -> None:
    """Write the model in `gguf` to `directory` as bfloat16 safetensors with its tokenizer and chat template."""
    import torch  # noqa: PLC0415  # the heavy work of this child process
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415  # the heavy work of this child process

    folder, file = str(gguf.parent), gguf.name
    quantization = GgufConfig(gguf_file=file, dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, quantization_config=quantization, dtype=torch.bfloat16, local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file, local_files_only=True)
    if not tokenizer.chat_template:
        raise ValueError(f"`{gguf}` carries no chat template, so it cannot answer chat requests")
    model.to(torch.bfloat16).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    for file_written in directory.iterdir():
        file_written.chmod(0o644)  # a cache may be shared between users


def download(repository: str, revision: str | None) -> Path:
    """Return the folder of the repository's snapshot in the hub's own cache, fetched where it is not all there."""
    from huggingface_hub import snapshot_download  # noqa: PLC0415  # the heavy work of this child process
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415  # the heavy work of this child process

    allowed, ignored = list(DOWNLOADED), list(NOT_DOWNLOADED)
    try:
        folder = snapshot_download(
            repository, revision=revision, allow_patterns=allowed, ignore_patterns=ignored, local_files_only=True
        )
    except LocalEntryNotFoundError:
        folder = snapshot_download(repository, revision=revision, allow_patterns=allowed, ignore_patterns=ignored)
    return Path(folder)


def main(arguments: Sequence[str]) -> int:
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    try:
        match list(arguments):
            case ["convert", gguf, directory]:
                os.environ["HF_HUB_OFFLINE"] = "1"
                convert(Path(gguf), Path(directory))
            case ["download", repository, *revision] if len(revision) <= 1:
                sys.stdout.write(f"{download(repository, revision[0] if revision else None)}\n")
            case _:
                sys.stderr.write("usage: preparation.py convert GGUF DIRECTORY | download REPOSITORY [REVISION]\n")
                return 2
    except Exception as error:  # noqa: BLE001  the edge of a process: its caller reads the reason from stderr
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
