"""Writes named tensors as a checkpoint that transformers, vLLM, SGLang, the GGUF converter and we read.

Files appear complete or not at all: each is written beside its place and moved there.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.weights.fp8 import BLOCK, encode_blocks
from engine.weights.names import is_projection

Storage = Literal["float32", "float16", "bfloat16", "fp8"]
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "fp8": torch.bfloat16}
_SHARD_BYTES = 5_000_000_000


def save_checkpoint(
    tensors: Iterable[tuple[str, Tensor]],
    config: Mapping[str, Any],
    folder: Path,
    *,
    storage: Storage,
    shard_bytes: int = _SHARD_BYTES,
) -> None:
    """Write config.json and the weights, under their Hugging Face names, into `folder` (created if need be).

    "fp8" stores projections as block FP8 and the rest as bfloat16; router weights stay float32 in every storage.
    ValueError when a matrix doesn't split into FP8 blocks; OSError when the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = _shards(stored_tensors(tensors, storage), shard_bytes)
    if len(shards) == 1:
        _save(shards[0], folder / "model.safetensors")
    else:
        _save_shards(shards, folder)
    values: dict[str, Any] = {**config, "torch_dtype": str(_DTYPES[storage]).removeprefix("torch.")}
    if storage == "fp8":
        values["quantization_config"] = {
            "quant_method": "fp8",
            "fmt": "e4m3",
            "activation_scheme": "dynamic",
            "weight_block_size": [BLOCK, BLOCK],
        }
    _write_text(folder / "config.json", json.dumps(values, indent=2) + "\n")


def stored_tensors(tensors: Iterable[tuple[str, Tensor]], storage: Storage) -> Iterator[tuple[str, Tensor]]:
    """The tensors in the dtype each is stored in, on the CPU, scales of FP8 blocks among them."""
    for name, given in tensors:
        tensor = given.detach().cpu()
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
        # A clone: safetensors refuses tensors that share memory, and these may be views of one stack.
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
    unfinished.chmod(0o644)  # safetensors leaves it to its owner alone
    unfinished.replace(path)


def _write_text(path: Path, text: str) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
