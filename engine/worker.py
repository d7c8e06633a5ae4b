"""The GPU worker thread: the only thread that touches the device and the weights.

Other threads put commands into its inbox and get events through the `emit` they passed, which is called on the
worker thread. Between two steps of the scheduler the inbox is emptied, so a cancel takes effect within one
token. Heavy libraries are imported on the worker thread too: the API answers while they load.
"""

import itertools
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.config import read_config
from engine.events import Delta, Event, Failed, GenerateRequest
from engine.served_model import ServedModel, read_default_sampling, read_end_ids
from engine.tokenizer import ChatTokenizer, load_tokenizer

if TYPE_CHECKING:  # these import torch
    from engine.scheduler import Scheduler
    from engine.sequence import Sequence
    from engine.weights.load import LoadedModel

logger = logging.getLogger(__name__)
Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """What the worker is doing. `message` is for people; `model_name` the model that is or was to be loaded.

    After an error `model` is the one from before, if any: it goes on serving.
    """

    state: Literal["loading", "ready", "error"]
    progress: float
    message: str
    model_name: str
    model: ServedModel | None


@dataclass(frozen=True, slots=True)
class _Submit:
    number: int
    request: GenerateRequest
    model: ServedModel
    emit: Emit


@dataclass(frozen=True, slots=True)
class _Cancel:
    number: int


@dataclass(frozen=True, slots=True)
class _Load:
    folder: Path


@dataclass(frozen=True, slots=True)
class _Close:
    pass


_Command = _Submit | _Cancel | _Load | _Close


class Worker:
    """Owns the thread. Start it, load a model, then submit requests; `close` ends it."""

    def __init__(self, *, device: str = "auto") -> None:
        self._device = device
        self._inbox: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        self._status = WorkerStatus(state="loading", progress=0.0, message="No model was asked for yet.",
                                    model_name="", model=None)
        self._scheduler: Scheduler | None = None
        self._sequences: dict[int, Sequence] = {}
        self._thread = threading.Thread(target=self._run, name="gpu-worker", daemon=True)

    @property
    def status(self) -> WorkerStatus:
        """What the worker is doing now: a value, safe to read in any thread."""
        return self._status

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def load(self, folder: Path) -> None:
        """Load a model, in place of the one that is there; `status` tells how it goes."""
        self._set(state="loading", progress=0.0, message="Waiting to load.", model_name=folder.name)
        self._inbox.put(_Load(folder))

    def submit(self, request: GenerateRequest, model: ServedModel, emit: Emit) -> int:
        """Queue a request for `model`; its events go to `emit` on the worker thread. Gives its number."""
        number = next(self._numbers)
        self._inbox.put(_Submit(number, request, model, emit))
        return number

    def cancel(self, number: int) -> None:
        """End a request: a Finished with reason "cancelled" follows unless it has ended already."""
        self._inbox.put(_Cancel(number))

    def close(self, timeout_s: float = 5.0) -> None:
        """End every request and the thread; gives up waiting when a step of the model takes longer."""
        self._inbox.put(_Close())
        self._thread.join(timeout_s)

    # On the worker thread from here on

    def _run(self) -> None:
        while True:
            command = self._next_command()
            if isinstance(command, _Close):
                self._end_all("shutting_down", "The engine is shutting down. Start it again to go on.")
                return
            if command is not None:
                self._handle(command)
            elif self._scheduler is not None:
                self._scheduler.step()

    def _next_command(self) -> _Command | None:
        busy = self._scheduler is not None and self._scheduler.has_work
        try:
            return self._inbox.get(block=not busy)
        except queue.Empty:
            return None

    def _handle(self, command: _Submit | _Cancel | _Load) -> None:
        if isinstance(command, _Load):
            self._load(command.folder)
        elif isinstance(command, _Submit):
            self._submit(command)
        elif self._scheduler is not None and (sequence := self._sequences.pop(command.number, None)):
            self._scheduler.cancel(sequence)

    def _submit(self, command: _Submit) -> None:
        from engine.sequence import Sequence

        if self._scheduler is None or command.model is not self._status.model:
            command.emit(Failed(kind="model_changed", message="The model was changed before the request began. "
                                "Send it again."))
            return

        def emit(event: Event) -> None:
            if not isinstance(event, Delta):
                self._sequences.pop(command.number, None)
            command.emit(event)

        model = command.model
        sequence = Sequence(command.request, emit, tokenizer=model.tokenizer, layers=model.moe_layers,
                            experts_per_token=model.card["experts_per_token"], context_length=model.context_length)
        self._sequences[command.number] = sequence
        self._scheduler.submit(sequence)

    def _end_all(self, kind: Literal["model_changed", "shutting_down"], message: str) -> None:
        if self._scheduler is not None:
            self._scheduler.fail_all(kind, message)
        self._sequences.clear()

    def _load(self, folder: Path) -> None:
        self._set(state="loading", progress=0.0, message="Starting PyTorch.", model_name=folder.name)
        self._end_all("model_changed", "Another model is being loaded. Send the request again when it is ready.")
        try:
            model, scheduler = self._loaded(folder)
        except Exception as error:  # somebody else's files decide what is raised, and the thread must outlive it
            logger.exception("The model in %s could not be loaded", folder)
            self._set(state="error", progress=0.0, message=_why_not_loaded(folder, error))
            return
        self._scheduler = scheduler
        logger.info("Loaded %s", model.card)
        self._status = WorkerStatus(state="ready", progress=1.0, message="", model_name=model.id, model=model)

    def _loaded(self, folder: Path) -> "tuple[ServedModel, Scheduler]":
        # Imported here: see the module's docstring.
        from engine.device import describe_device, pick_device, set_threads
        from engine.scheduler import Scheduler
        from engine.weights.load import load_model

        loaded = load_model(folder, device=pick_device(self._device), progress=self._progress)
        set_threads(loaded.model.shape)
        tokenizer, problem = _tokenizer_or_problem(folder)
        model = _describe(folder, loaded, describe_device(loaded.device), tokenizer, problem)
        return model, Scheduler(loaded.model, end_ids=model.end_ids)

    def _progress(self, fraction: float, message: str) -> None:
        self._set(state="loading", progress=fraction, message=message)

    def _set(self, *, state: Literal["loading", "error"], progress: float, message: str,
             model_name: str | None = None) -> None:
        self._status = replace(self._status, state=state, progress=progress, message=message,
                               model_name=self._status.model_name if model_name is None else model_name)


def _why_not_loaded(folder: Path, error: Exception) -> str:
    """Say why a model could not be loaded, and what to do."""
    text = str(error) or type(error).__name__
    if isinstance(error, ValueError):  # ours, written for people
        return text
    if isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text:
        return f"There is not enough free memory for {folder.name}. Close other programs, or choose a smaller model."
    if isinstance(error, ImportError):
        return f"A part of the program is missing ({text}). Run its set-up again: make run."
    if isinstance(error, OSError):
        return f"{folder} cannot be read ({text}). Check its permissions and its disk, or choose another model."
    return (f"{folder.name} cannot be opened ({type(error).__name__}: {text}). Its files are damaged or of another "
            "kind; fetch them again, or choose another model.")


def _tokenizer_or_problem(folder: Path) -> tuple[ChatTokenizer | None, str]:
    try:
        return load_tokenizer(folder), ""
    except ValueError as error:
        logger.warning("%s", error)
        return None, str(error)


def _describe(folder: Path, loaded: "LoadedModel", device: str, tokenizer: ChatTokenizer | None,
              problem: str) -> ServedModel:
    shape = loaded.model.shape
    end_id = tokenizer.end_id if tokenizer else None
    card = {
        "architecture": loaded.config.model_type, "num_layers": shape.num_layers, "moe_layers": list(shape.moe_layers),
        "num_experts": shape.num_experts, "experts_per_token": shape.experts_per_token,
        "num_shared_experts": shape.num_shared_experts, "num_heads": shape.num_heads, "vocab_size": shape.vocab_size,
        "context_length": shape.context_length, "parameters": shape.num_parameters,
        "active_parameters": shape.num_active_parameters, "dtype": str(loaded.dtype).removeprefix("torch."),
        "device": device, "fingerprint": loaded.fingerprint, "config": read_config(folder / "config.json"),
    }
    return ServedModel(
        id=folder.resolve().name, card=card, context_length=shape.context_length, vocab_size=shape.vocab_size,
        moe_layers=shape.moe_layers, tokenizer=tokenizer, tokenizer_problem=problem,
        end_ids=read_end_ids(folder) | ({end_id} if end_id is not None else set()),
        default_sampling=read_default_sampling(folder))
