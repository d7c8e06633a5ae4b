"""How one answer is asked for, and what is stored of it at its end. No network and no Qt."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.open_conversation import AppliedAnswer, OpenConversation
from app.core.records import AnswerOutcome, AnswerState, Message
from app.core.system_prompt import system_prompt
from app.core.turns import TokenEstimate, compose_prompt, prompt_budget, turns_of
from app.core.wire import ChatRequest, Completion, ModelInfo, Sampling

if TYPE_CHECKING:
    from engine.trace import RoutingTrace

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerPlan:
    """Everything that decides a request; `model_of` is asked late, since the engine may still be loading.

    `system` is the person's system prompt, `guide` what a model is told that wasn't trained on our formats.
    """

    opened: OpenConversation
    answer: Message
    system: str
    guide: str
    sampling: Sampling
    estimate: TokenEstimate
    model_of: Callable[[], ModelInfo | None]

    def make_request(self, dropped: int) -> tuple[ChatRequest, int] | None:
        """The request without at least the `dropped` oldest turns, and how many it leaves out.

        None when no turn is left to leave out. Raises Problem when the project cannot be read.
        """
        return self.request_for(self.opened.workspace.text_files(), dropped=dropped)

    def request_for(self, files: Mapping[str, str], *, dropped: int) -> tuple[ChatRequest, int] | None:
        """As `make_request`, with a project that holds these files."""
        assert self.answer.parent_id is not None
        model = self.model_of()
        composed = compose_prompt(
            turns_of(self.opened.tree.path_to(self.answer.parent_id)),
            files,
            system=system_prompt(self.system, self.guide, model),
            budget_tokens=prompt_budget(model.context_tokens if model else None, self.sampling.max_tokens),
            estimate=self.estimate,
            already_dropped=dropped,
        )
        if composed is None:
            return None
        request = ChatRequest(
            messages=tuple(composed.messages),
            model=model.id if model else "",
            sampling=self.sampling,
            continue_from=self.answer.text,
        )
        return request, composed.dropped

    def new_trace(self) -> "RoutingTrace | None":
        """An empty trace for the model that answers; None when its experts are not known."""
        model = self.model_of()
        if model is None or not model.num_experts:
            return None
        from engine.trace import RoutingTrace

        return RoutingTrace(num_experts=model.num_experts, model=model.card, fingerprint=model.fingerprint)


@dataclass(frozen=True, kw_only=True, slots=True)
class EndOfAnswer:
    """What a run leaves behind."""

    text: str
    state: AnswerState
    error: str
    completion: Completion | None
    dropped_turns: int
    trace: "RoutingTrace | None"


def conclude(plan: AnswerPlan, end: EndOfAnswer, traces: Path) -> tuple[AnswerOutcome, AppliedAnswer]:
    """Write the answer's files into the project and its trace beside the database. Never raises."""
    answer = plan.answer
    applied = plan.opened.apply(answer, end.text)
    completion = end.completion
    model = plan.model_of()
    outcome = AnswerOutcome(
        text=end.text,
        state=end.state,
        error=end.error,
        model=(completion.model if completion else "") or (model.id if model and not answer.model else ""),
        fingerprint=(completion.fingerprint if completion else "") or (model.fingerprint if model else ""),
        usage=completion.usage if completion else {},
        timings=completion.timings if completion else {},
        trace_file=_save_trace(end.trace, traces, f"{answer.conversation_id}/{answer.id}.moetrace"),
        snapshot_after=applied.snapshot_after,
        dropped_turns=end.dropped_turns,
        applied=applied.record,
    )
    return outcome, applied


def load_trace(path: Path) -> "RoutingTrace | None":
    """A stored routing trace; None when it cannot be read (which is logged)."""
    from engine.trace import RoutingTrace

    try:
        return RoutingTrace.load(path)
    except (OSError, ValueError) as error:
        logger.warning("The routing in %s cannot be read: %s", path, error)
        return None


def _save_trace(trace: "RoutingTrace | None", traces: Path, name: str) -> str:
    if trace is None or not len(trace):
        return ""
    try:
        (traces / name).parent.mkdir(parents=True, exist_ok=True)
        trace.save(traces / name)
    except OSError as error:
        logger.warning("The routing of an answer could not be stored: %s", error)
        return ""
    return name
