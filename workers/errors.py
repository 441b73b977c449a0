"""Errors of the workers. Every message says what is wrong and what to do about it.

WorkerError
├── SpecError               a specification contradicts itself, for example an expert names no known model
├── SourceError             a model or adapter cannot be had
│   ├── SourceFormatError   the source string cannot be read
│   ├── SourceNotFoundError a folder, package, file or repository is missing
│   ├── ChecksumError       a file is not the one that the source names
│   ├── ConversionError     a checkpoint could not be converted
│   ├── AdapterRefusedError an adapter is torn, does not fit its base model, or the engine will not have it
│   ├── CheckpointRefusedError  a checkpoint is damaged, or does not fit the engine whose weights it shall replace
│   └── SourceCancelledError  resolving was stopped because its caller said so
├── EngineError             an engine process
│   ├── EngineStartError    it did not become healthy; carries its last log lines
│   ├── EngineDiedError     it ended while it was serving
│   ├── EngineAwayError     it does not run now, or does not answer
│   ├── WeightsMismatchError  it does not hold the weights that it shall hold
│   └── SleepUnsupportedError  it cannot give its device memory back and stay
├── ControlError            an expert cannot be loaded or unloaded
│   ├── UnknownExpertError  the worker has no such expert
│   └── NotUnloadableError  the expert is its model itself
├── PlacementError          what is to be placed contradicts itself, or does not fit
├── UnsolvedPlacementError  no placement was found in the time given
├── SimulationError         a trace or its experts cannot be simulated; names file, line and reason
└── AdmissionError          a request was not let in; carries the seconds after which to try again
    ├── QueueFullError      as many requests wait as may
    ├── QueueTimeoutError   it waited as long as it may
    └── NotResidentError    what it needs could not be brought onto the device
"""

from typing import ClassVar

from workers.reports import SwapReport


class WorkerError(Exception):
    """Base of every error that this package raises. `code` names the cause for programs."""

    code: ClassVar[str] = "worker_error"


class SpecError(WorkerError):
    """A worker's specification contradicts itself."""


class SourceError(WorkerError):
    """A model or adapter source cannot be used."""

    code = "source_unusable"


class SourceFormatError(SourceError):
    """A source string cannot be read."""


class SourceNotFoundError(SourceError):
    """The folder, package, file or repository that a source names is missing."""


class ChecksumError(SourceError):
    """A file's SHA-256 is not the one its source names."""


class ConversionError(SourceError):
    """A checkpoint could not be converted into the form that engines load."""


class SourceCancelledError(SourceError):
    """Resolving a source was stopped because its caller said so."""


class AdapterRefusedError(SourceError):
    """An adapter is torn or does not fit the engine that it shall go into."""

    code = "adapter_refused"


class CheckpointRefusedError(SourceError):
    """A checkpoint is damaged, or does not fit the engine whose weights it shall replace."""

    code = "checkpoint_refused"


class EngineError(WorkerError):
    """An engine process failed."""

    code = "engine_unavailable"


class EngineStartError(EngineError):
    """An engine did not become healthy. `log_lines` are the last lines that it wrote."""

    def __init__(self, message: str, log_lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log_lines = log_lines


class EngineDiedError(EngineError):
    """An engine ended while it was serving."""


class EngineAwayError(EngineError):
    """An engine does not run now, or does not answer."""


class WeightsMismatchError(EngineError):
    """An engine's weights are not those that it shall have, or are not known: it must be started again."""


class SleepUnsupportedError(EngineError):
    """An engine cannot give its device memory back and stay: it was not started for that, or the device is a CPU."""

    code = "sleep_unsupported"


class ControlError(WorkerError):
    """An expert cannot be loaded or unloaded."""


class UnknownExpertError(ControlError):
    """The worker has no such expert."""

    code = "model_not_found"


class NotUnloadableError(ControlError):
    """The expert has no adapter, so that nothing of it could be unloaded."""

    code = "not_unloadable"


class PlacementError(WorkerError):
    """No placement can meet what is asked: unknown names, demands that contradict each other, too little room."""

    code = "placement_impossible"


class UnsolvedPlacementError(WorkerError):
    """No placement was found in the time given; one may exist."""


class SimulationError(WorkerError):
    """What a simulation was given cannot be used."""

    code = "bad_simulation"


class AdmissionError(WorkerError):
    """A request was not let in. `retry_after_s` is the number of seconds after which trying again makes sense."""

    code = "not_admitted"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFullError(AdmissionError):
    """As many requests wait for the expert as may."""


class QueueTimeoutError(AdmissionError):
    """The request waited for its turn as long as it may."""


class NotResidentError(AdmissionError):
    """The weights that the request needs could not be brought onto the device; `swap` is the attempt that failed."""

    def __init__(self, message: str, retry_after_s: float, swap: "SwapReport | None" = None) -> None:
        super().__init__(message, retry_after_s)
        self.swap = swap
