"""Writes a K2Model as a checkpoint that transformers, vLLM, SGLang, the GGUF converter and we read.

Files appear complete or not at all: each is written beside its place and moved there.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.models.k2.model import K2Model
from engine.weights.fp8 import BLOCK, encode_blocks
from engine.weights.names import is_projection, slots

Storage = Literal["float32", "float16", "bfloat16", "fp8"]
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "fp8": torch.bfloat16}
_SHARD_BYTES = 5_000_000_000


def save_model(model: K2Model, folder: Path, *, storage: Storage, shard_bytes: int = _SHARD_BYTES) -> None:
    """Write config.json and the weights into `folder` (created if need be).

    "fp8" stores projections as block FP8 and the rest as bfloat16; router weights stay float32 in every storage.
    ValueError when a matrix doesn't split into FP8 blocks; OSError when the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = _shards(stored_tensors(model, storage), shard_bytes)
    if len(shards) == 1:
        _save(shards[0], folder / "model.safetensors")
    else:
        _save_shards(shards, folder)
    config: dict[str, Any] = {**model.config.to_json(), "torch_dtype": str(_DTYPES[storage]).removeprefix("torch.")}
    if storage == "fp8":
        config["quantization_config"] = {
            "quant_method": "fp8",
            "fmt": "e4m3",
            "activation_scheme": "dynamic",
            "weight_block_size": [BLOCK, BLOCK],
        }
    _write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


def stored_tensors(model: K2Model, storage: Storage) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the checkpoint under its name, in the dtype it is stored in, on the CPU."""
    for name, slot in slots(model):
        tensor = slot.detach().cpu()
        if storage == "fp8" and is_projection(name):
            values, scales = encode_blocks(tensor)
            yield name, values
            yield name + "_scale_inv", scales
        else:
            keep = torch.float32 if ".mlp.gate." in name else _DTYPES[storage]
            yield name, tensor.to(keep).contiguous()


def _shards(tensors: Iterator[tuple[str, Tensor]], shard_bytes: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors:
        if shards[-1] and size + tensor.nbytes > shard_bytes:
            shards.append({})
            size = 0
        # A clone: tensors of one storage are refused by safetensors, and a float32 slot may share the model's.
        shards[-1][name] = tensor.clone()
        size += tensor.nbytes
    return shards


def _save_shards(shards: list[dict[str, Tensor]], folder: Path) -> None:
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        file_name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _save(shard, folder / file_name)
        weight_map.update(dict.fromkeys(shard, file_name))
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    _write_text(folder / "model.safetensors.index.json", json.dumps(index, indent=2) + "\n")


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    unfinished = path.with_suffix(".unfinished")
    save_file(tensors, unfinished, metadata={"format": "pt"})
    unfinished.replace(path)


def _write_text(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
