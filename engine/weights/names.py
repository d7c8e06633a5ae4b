"""Where each tensor of the Hugging Face layout lives in a K2Model.

One mapping serves loading and saving. Checkpoints keep every expert's three matrices apart ([out, in] each); the
model stacks them by layer with rows by input, so an expert's slot is a transposed view into the stack.
"""

import re
from collections.abc import Iterator

from torch import Tensor

from engine.models.k2.model import K2Model
from engine.models.k2.moe import Experts

_MATRIX = re.compile(r"(self_attn|mlp)\..*_proj(_with_mqa)?\.weight$")


def slots(model: K2Model) -> Iterator[tuple[str, Tensor]]:
    """Checkpoint name and the view of the model's memory that holds it, in layer order."""
    for name, tensor in model.state_dict(keep_vars=False).items():
        if ".experts." not in name:
            yield (name if name.startswith("lm_head") else f"model.{name}"), tensor
        elif name.endswith("gate_up_EDC"):
            prefix = "model." + name.removesuffix(".gate_up_EDC")
            yield from _expert_slots(prefix, model.get_submodule(name.removesuffix(".gate_up_EDC")))


def is_projection(name: str) -> bool:
    """Whether a checkpoint name is one of the matrices that block FP8 covers (not the router, not the head)."""
    return _MATRIX.search(name) is not None


def _expert_slots(prefix: str, experts: object) -> Iterator[tuple[str, Tensor]]:
    assert isinstance(experts, Experts)
    width = experts.down_EFD.shape[1]
    for index, (gate_up, down) in enumerate(zip(experts.gate_up_EDC.detach(), experts.down_EFD.detach(), strict=True)):
        yield f"{prefix}.{index}.gate_proj.weight", gate_up[:, :width].t()
        yield f"{prefix}.{index}.up_proj.weight", gate_up[:, width:].t()
        yield f"{prefix}.{index}.down_proj.weight", down.t()
