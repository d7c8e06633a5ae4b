"""Answers of a model folder through the engine's own worker, kept as JSON lines so that a stopped run goes on."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from engine.events import Delta, Failed, Finished, GenerateRequest
from engine.generate import generate_events, open_worker
from engine.train.evaluate.items import message_key
from engine.train.sample import Message
from engine.train.whole_file import write_whole
from engine.worker import Worker

ANSWER_TOKENS = 2400
TOGETHER = 4  # answers written at a time: the worker decodes them as one batch

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Messages, and how to sample the answer; temperature 0 is greedy."""

    messages: tuple[Message, ...]
    temperature: float = 0.0
    seed: int = 0

    @property
    def key(self) -> str:
        """The name its answer is kept under."""
        return f"{message_key(self.messages)}@{self.temperature:g}#{self.seed}"


class Answers:
    """Answers by question; what is not there yet is asked of the model."""

    def __init__(self, worker: Worker, path: Path) -> None:
        self._worker, self._path = worker, path
        self._texts: dict[str, str] = {}
        if path.exists():
            whole, _, _cut_off = path.read_text("utf-8").rpartition("\n")
            for line in whole.splitlines():
                record = json.loads(line)
                self._texts[record["key"]] = record["text"]
            write_whole(path, whole + "\n" if whole else "")

    def __getitem__(self, question: Question) -> str:
        return self._texts[question.key]

    def ask(self, questions: Sequence[Question], tell: Callable[[str], None]) -> None:
        """Have every question answered, TOGETHER at a time; `tell` gets progress.

        Raises ValueError when the model fails.
        """
        missing = {question.key: question for question in questions if question.key not in self._texts}
        with self._path.open("a", encoding="utf-8") as file, ThreadPoolExecutor(TOGETHER) as pool:
            waiting = {pool.submit(self._answer, question): key for key, question in missing.items()}
            for number, done in enumerate(as_completed(waiting), start=1):
                self._texts[waiting[done]] = done.result()
                file.write(json.dumps({"key": waiting[done], "text": done.result()}) + "\n")
                file.flush()
                tell(f"answers: {number} of {len(missing)}")

    def _answer(self, question: Question) -> str:
        model = self._worker.status.model
        assert model is not None
        assert model.tokenizer is not None
        sampling = replace(model.default_sampling, temperature=question.temperature, seed=question.seed)
        prompt = model.tokenizer.render_chat(question.messages)
        request = GenerateRequest(prompt=prompt, sampling=sampling,
                                  max_tokens=min(ANSWER_TOKENS, model.context_length - len(prompt.ids)))
        pieces: list[str] = []
        for event in generate_events(self._worker, request, model):
            if isinstance(event, Failed):
                raise ValueError(event.message)
            if isinstance(event, Delta):
                pieces.append(event.text)
            assert isinstance(event, Delta | Finished)
        return "".join(pieces)


@contextmanager
def answering(model: Path, cache: Path) -> Iterator[Answers]:
    """Open a model folder with the engine; its answers lie in a folder of `cache` named after its weights."""
    worker = open_worker(model, device="auto", report=logger.info)
    try:
        served = worker.status.model
        assert served is not None
        folder = cache / served.fingerprint.replace(":", "-")
        folder.mkdir(parents=True, exist_ok=True)
        yield Answers(worker, folder / "answers.jsonl")
    finally:
        worker.close()
