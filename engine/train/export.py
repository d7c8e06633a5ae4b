"""From training masters to a model folder in K2's format: block FP8 safetensors, config, tokenizer, defaults, card.

Reads a training state, which may be of a run that is still going on. What the folder's weights decode to is what
was shipped; evaluation runs that and never the masters.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.train.network import Shape, bias_name, initial_masters, weight_table

BLOCK = 128
FP8_MAX = 448.0
GENERATION_DEFAULTS = {"do_sample": True, "temperature": 0.3, "top_p": 0.95, "bos_token_id": 1, "eos_token_id": 2,
                       "pad_token_id": 0, "max_new_tokens": 2048}


def checkpoint_tensors(shape: Shape, masters: Mapping[str, Tensor], biases_LE: Tensor) -> dict[str, Tensor]:
    """The masters cut into the matrices of the Hugging Face layout, float32, under its names."""
    tensors: dict[str, Tensor] = {}
    for weight in weight_table(shape):
        master, start = masters[weight.name], 0
        for name, rows in weight.parts:
            if "{e}" in name:
                for expert in range(shape.experts):
                    tensors[name.format(e=expert)] = master[expert, start:start + rows].clone()
            else:
                tensors[name] = master[start:start + rows].clone()
            start += rows
    for layer in range(shape.dense_layers, shape.layers):
        tensors[bias_name(layer)] = biases_LE[layer].float().clone()
    return tensors


def quantise(matrix_NM: Tensor) -> tuple[Tensor, Tensor]:
    """Block FP8: (e4m3 values [N, M], float32 scales [ceil(N/128), ceil(M/128)]); value * scale is the weight."""
    rows, columns = matrix_NM.shape
    high, wide = -(-rows // BLOCK), -(-columns // BLOCK)
    padded = torch.zeros(high * BLOCK, wide * BLOCK)
    padded[:rows, :columns] = matrix_NM
    blocks = padded.view(high, BLOCK, wide, BLOCK)
    scales = (blocks.abs().amax((1, 3)) / FP8_MAX).clamp_min(1e-12)
    values = (blocks / scales[:, None, :, None]).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
    return values.reshape(padded.shape)[:rows, :columns].contiguous(), scales


def stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as the file holds them: projections in FP8, router float32, embeddings, head and norms bfloat16."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(("_proj.weight", "kv_a_proj_with_mqa.weight")):
            out[name], out[name.removesuffix("weight") + "weight_scale_inv"] = quantise(tensor)
        elif ".gate." in name:
            out[name] = tensor.float()
        else:
            out[name] = tensor.bfloat16()
    return out


def export_model(state: Path | None, config: Mapping[str, Any], tokenizer: Path, folder: Path, card: str) -> None:
    """Write a model folder from a training state; with None, from fresh weights (for trying programs out)."""
    shape = Shape.from_config(dict(config))
    masters = initial_masters(shape, 0)
    biases = torch.zeros(shape.layers, shape.experts)
    if state is not None:
        with safe_open(state, framework="pt") as file:
            masters = {name: file.get_tensor(f"w.{name}") for name in masters}
            biases = file.get_tensor("biases")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = stored(checkpoint_tensors(shape, masters, biases))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    quantization = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                    "weight_block_size": [BLOCK, BLOCK]}
    _write_json(folder / "config.json", {**config, "quantization_config": quantization})
    _write_json(folder / "generation_config.json", GENERATION_DEFAULTS)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(tokenizer / name, folder / name)
    (folder / "README.md").write_text(card, "utf-8")


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
