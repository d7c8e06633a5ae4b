"""One forward pass over given tokens, with everything the router did: `python -m engine trace`."""

from dataclasses import dataclass
from pathlib import Path

import torch

from engine.capture import to_block
from engine.device import pick_device, set_threads
from engine.tokenizer import PromptText, load_tokenizer
from engine.trace import RoutingTrace, TraceToken
from engine.weights.load import load_model

NUM_TOP_LOGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardTrace:
    """`top_logits` are (token, logit) of the last position, best first."""

    trace: RoutingTrace
    top_logits: list[tuple[int, float]]


def trace_tokens(folder: Path, *, text: str = "", token_ids: tuple[int, ...] = (),
                 device: str = "auto") -> ForwardTrace:
    """Load a checkpoint and run it once over `text`, or over `token_ids`, for which it needs no tokenizer.

    Raises:
        ValueError: the model can't be loaded, or the tokens don't fit it.
    """
    tokenizer = load_tokenizer(folder) if text else None
    prompt = tokenizer.encode_text(text) if tokenizer else PromptText(ids=token_ids)
    if not prompt.ids:
        raise ValueError("There are no tokens to trace. Give --prompt or --tokens.")
    loaded = load_model(folder, device=pick_device(device))
    set_threads(loaded.model.shape)
    forward = loaded.model.prefill(prompt.ids, loaded.model.new_cache(), capture="full")
    if not bool(torch.isfinite(forward.logits).all()):
        raise ValueError("The model's output is not a number (NaN), so its weights are damaged. Fetch the checkpoint "
                         "again.")
    best = forward.logits[-1].topk(min(NUM_TOP_LOGITS, forward.logits.shape[-1]))
    shape = loaded.model.shape
    trace = RoutingTrace(num_experts=shape.num_experts, fingerprint=loaded.fingerprint,
                         model={"id": folder.resolve().name, "num_experts": shape.num_experts,
                                "experts_per_token": shape.experts_per_token, "num_layers": shape.num_layers})
    if forward.routing is not None:
        tokens = tokenizer.trace_tokens(prompt) if tokenizer else [
            TraceToken(id=token, text="", phase="prefill") for token in prompt.ids]
        trace.append(tokens, to_block(forward.routing, shape.moe_layers))
    return ForwardTrace(trace=trace, top_logits=list(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
