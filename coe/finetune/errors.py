"""What can go wrong in fine-tuning beside the data."""

from __future__ import annotations

from coe.errors import CoeError, InputError


class SplitError(InputError):
    """There are too few rows to hold some out."""


class BaseModelError(InputError):
    """The base model cannot be trained."""


class DeviceError(InputError):
    """The device that was asked for is not there."""


class DivergedError(CoeError):
    """The training left the realm of numbers."""


class CheckpointError(InputError):
    """The output folder holds something that this run must not touch."""


class InterruptedTrainingError(CoeError):
    """The person stopped it; the same command goes on from the checkpoint."""
