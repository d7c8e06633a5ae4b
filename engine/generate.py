"""Generation without HTTP: a generator of events, and whole conversations with their project files."""

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.artifacts import Applied, apply_answer
from engine.events import CaptureLevel, Delta, Event, Failed, Finished, GenerateRequest
from engine.interventions import Intervention, parse_interventions
from engine.prompt import Turn, compose
from engine.served_model import ServedModel
from engine.tokenizer import ChatTokenizer
from engine.trace import RoutingTrace
from engine.worker import Worker

_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOptions:
    """How to answer each turn. `seed` and `temperature` None leave it to chance and to the model."""

    system: str = ""
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    capture: CaptureLevel = "off"
    interventions: tuple[Intervention, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResult:
    """One answered turn; `trace` is empty unless routing was asked for."""

    text: str
    applied: Applied
    end: Finished
    trace: RoutingTrace


def open_worker(folder: Path, *, device: str = "auto", report: Callable[[str], None]) -> Worker:
    """Start a worker and wait until it has loaded the model.

    Raises:
        ValueError: the model can't be loaded.
    """
    worker = Worker(device=device)
    worker.start()
    worker.load(folder)
    pause = threading.Event()
    told = ""
    while (status := worker.status).state == "loading":
        if status.message != told:
            told = status.message
            report(told)
        pause.wait(_POLL_S)
    if status.state == "error":
        worker.close()
        raise ValueError(status.message)
    return worker


def read_interventions(text: str, worker: Worker) -> tuple[Intervention, ...]:
    """Read interventions in the API's form from JSON text.

    Raises:
        ValueError: it is no such JSON, or it does not fit the worker's model.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ValueError(f"The interventions are not JSON ({error}). Give a list of objects.") from error
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise ValueError("The interventions are not a list of objects. Put them in brackets: [{...}].")
    model = worker.status.model
    assert model is not None
    return parse_interventions(given, moe_layers=model.moe_layers, num_experts=model.card["num_experts"],
                               top_k=model.card["experts_per_token"])


def generate_events(worker: Worker, request: GenerateRequest, model: ServedModel) -> Iterator[Event]:
    """Yield the events of one request as they come; closing the generator cancels it within one token."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    number = worker.submit(request, model, events.put)
    event: Event | None = None
    try:
        while event is None or isinstance(event, Delta):
            event = events.get()
            yield event
    finally:
        worker.cancel(number)


def converse(worker: Worker, prompts: Sequence[str], options: TurnOptions, *,
             tell: Callable[[str], None]) -> Iterator[TurnResult]:
    """Answer prompts one after the other as the turns of one conversation; `tell` gets text as it comes.

    Raises:
        ValueError: the model can't chat, the prompt is too long, or the model failed.
    """
    model = worker.status.model
    assert model is not None
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise ValueError(model.tokenizer_problem)
    turns: list[Turn] = []
    files: Mapping[str, str] = {}
    for prompt in prompts:
        turns.append(Turn(role="user", text=prompt))
        request = _request(turns, files, model, tokenizer, options)
        result = _answer(worker, request, model, files, tell)
        files = result.applied.files
        turns.append(Turn(role="assistant", text=result.text))
        yield result


def _request(turns: Sequence[Turn], files: Mapping[str, str], model: ServedModel, tokenizer: ChatTokenizer,
             options: TurnOptions) -> GenerateRequest:
    answer_room = min(model.context_length // 2, options.max_tokens or 1024)
    composed = compose(turns, files, system=options.system, max_tokens=model.context_length - answer_room,
                       count_tokens=lambda text: len(tokenizer.encode_answer(text)))
    prompt = tokenizer.render_chat(composed.messages)
    if len(prompt.ids) >= model.context_length:
        raise ValueError(f"The prompt has {len(prompt.ids)} tokens; this model's context holds {model.context_length}, "
                         "the answer included. Shorten the request or the files.")
    sampling = replace(model.default_sampling, seed=options.seed)
    if options.temperature is not None:
        sampling = replace(sampling, temperature=options.temperature)
    return GenerateRequest(prompt=prompt, sampling=sampling, max_tokens=options.max_tokens, capture=options.capture,
                           interventions=options.interventions)


def _answer(worker: Worker, request: GenerateRequest, model: ServedModel, files: Mapping[str, str],
            tell: Callable[[str], None]) -> TurnResult:
    trace = RoutingTrace(num_experts=model.card["num_experts"], model={"id": model.id, **model.card},
                         fingerprint=model.fingerprint)
    pieces: list[str] = []
    for event in generate_events(worker, request, model):
        if isinstance(event, Failed):
            raise ValueError(event.message)
        if isinstance(event, Finished):
            text = "".join(pieces)
            return TurnResult(text=text, applied=apply_answer(files, text), end=event, trace=trace)
        pieces.append(event.text)
        tell(event.text)
        for chunk in event.chunks:
            if chunk.block is not None:
                trace.append(chunk.tokens, chunk.block)
    raise AssertionError("a request ends with Finished or Failed")


def write_files(files: Mapping[str, str], folder: Path) -> None:
    """Write a project's files under `folder`; paths were checked by `apply_answer`."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, "utf-8")
