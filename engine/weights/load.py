"""From a model folder to a model that runs: config.json and safetensors in, MoeModel out.

Weights may be stored as bfloat16, float16, float32 or block FP8, in one file or in shards. Every tensor's shape
is checked against the config, and every number for NaN and infinity, before the model is handed over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from engine.config import ModelConfig, config_object, read_config
from engine.models.base import MoeModel
from engine.models.k2.model import K2Model
from engine.models.k2.runner import K2Runner
from engine.weights.checkpoint import Checkpoint
from engine.weights.fp8 import BLOCK, decode_blocks
from engine.weights.names import slots

Progress = Callable[[float, str], None]
_FLOATS = {"F32", "F16", "BF16"}
_SMALL_MODEL = 1_000_000_000  # parameters up to which a CPU computes in float32: dispatch and caches rule, not memory


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready to run, and what tells it apart from others."""

    model: MoeModel
    config: ModelConfig
    fingerprint: str
    device: torch.device
    dtype: torch.dtype


def load_model(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype | None = None,
    progress: Progress | None = None,
) -> LoadedModel:
    """Open a checkpoint for inference on `device`.

    `dtype` is what the model computes in (by default what suits model and device); `progress` is told a fraction
    in 0..1 and what is going on. ValueError with cause and next step when the folder holds no model that runs here.
    """
    values = read_config(folder / "config.json")
    config = ModelConfig.from_json(values)
    dtype = dtype or default_dtype(config, device)
    checkpoint = Checkpoint(folder)
    model = load_module(checkpoint, config, values, device=device, dtype=dtype, progress=progress)
    return LoadedModel(
        model=K2Runner(model),
        config=config,
        fingerprint=checkpoint.fingerprint(config.to_json()),
        device=device,
        dtype=dtype,
    )


def load_module(
    checkpoint: Checkpoint,
    config: ModelConfig,
    config_values: dict[str, Any],
    *,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress | None = None,
) -> K2Model:
    """The module with the checkpoint's weights, without gradients. Errors as for `load_model`."""
    block = fp8_block(config_values)
    _check_memory(config, device, dtype)
    model = empty_module(config, device=device, dtype=dtype)
    targets = list(slots(model))
    checkpoint.require(name for name, _ in targets)
    report = progress or ignore_progress
    step = max(1, len(targets) // 100)
    for number, (name, slot) in enumerate(targets):
        if number % step == 0:
            report(number / len(targets), f"Reading {name}")
        slot.copy_(read_weight(checkpoint, name, tuple(slot.shape), block))
    report(1.0, "Weights read")
    return model


def empty_module(config: ModelConfig, *, device: torch.device, dtype: torch.dtype) -> K2Model:
    """A module whose weights are yet to be written: `dtype` everywhere but in the router, which stays float32."""
    with torch.device("meta"):
        model = K2Model(config)
    model.to(dtype)
    for block in model.moe_blocks:
        block.gate.float()
    return model.to_empty(device=device).requires_grad_(requires_grad=False)


def default_dtype(config: ModelConfig, device: torch.device) -> torch.dtype:
    """Float32 for small models on a CPU, where it is fastest and exact; bfloat16 otherwise."""
    small = config.num_parameters <= _SMALL_MODEL
    return torch.float32 if device.type == "cpu" and small else torch.bfloat16


def read_weight(checkpoint: Checkpoint, name: str, shape: tuple[int, ...], block: tuple[int, int]) -> Tensor:
    """One tensor of the checkpoint, FP8 blocks decoded to float32; ValueError when shape or numbers are wrong."""
    entry = checkpoint.entries[name]
    if entry.shape != shape:
        raise ValueError(
            f"{name} in {entry.file.name} has the shape {list(entry.shape)}, and config.json asks for {list(shape)}."
            " The weights and the config belong to different models; fetch both again from one place."
        )
    if entry.dtype == "F8_E4M3":
        scale_name = name + "_scale_inv"
        checkpoint.require([scale_name])
        scales = checkpoint.tensor(scale_name)
        expected = tuple(-(-size // per_block) for size, per_block in zip(shape, block, strict=True))
        if tuple(scales.shape) != expected:
            raise ValueError(
                f"{scale_name} has the shape {list(scales.shape)}; blocks of {list(block)} need {list(expected)}."
                " The checkpoint contradicts itself; fetch it again."
            )
        tensor = decode_blocks(checkpoint.tensor(name), scales, block=block)
    elif entry.dtype in _FLOATS:
        tensor = checkpoint.tensor(name)
    else:
        raise ValueError(
            f"{name} is stored as {entry.dtype}. This engine reads float32, float16, bfloat16 and block FP8;"
            " choose a version of the checkpoint in one of these."
        )
    _check_numbers(tensor, name, entry.file)
    return tensor


def _check_numbers(tensor: Tensor, name: str, file: Path) -> None:
    # NaN wins in aminmax and infinity is an extreme, so the two ends show both; one cheap pass.
    if tensor.numel() and not all(bool(end.isfinite()) for end in tensor.aminmax()):
        raise ValueError(
            f"{name} in {file.name} contains NaN or infinity, so every answer would be noise. The file is damaged or"
            " the training run diverged; fetch it again or take an earlier checkpoint."
        )


def fp8_block(config_values: dict[str, Any]) -> tuple[int, int]:
    """Rows and columns of a block that shares a scale; ValueError when the weights are quantised otherwise."""
    quantization = config_object(config_values, "quantization_config")
    method = quantization.get("quant_method")
    block = quantization.get("weight_block_size") or [BLOCK, BLOCK]
    if method not in (None, "fp8"):
        raise ValueError(
            f"The weights are quantised with {method!r}. This engine reads float32, float16, bfloat16 and block FP8;"
            " choose a version of the checkpoint in one of these."
        )
    if not isinstance(block, list) or len(block) != 2 or not all(isinstance(size, int) and size > 0 for size in block):
        raise ValueError(
            f"config.json gives {block!r} as weight_block_size; two whole numbers belong there."
            " Fetch the checkpoint's config.json again."
        )
    return block[0], block[1]


def _check_memory(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
    needed = config.num_parameters * dtype.itemsize
    total = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total
    if needed > total:
        raise ValueError(
            f"The model needs about {needed / 1e9:,.0f} GB in {dtype}, and {device} has {total / 1e9:,.0f} GB."
            " Choose a smaller model, or a machine with more memory."
        )


def ignore_progress(fraction: float, message: str) -> None:
    """A progress that nobody follows."""
    del fraction, message
