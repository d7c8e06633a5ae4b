"""From training masters to a model folder in K2's format: block FP8 safetensors, config, tokenizer, defaults.

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
from torch import Tensor

from engine.train.network import Shape, bias_name, initial_masters, weight_table
from engine.weights.save import save_checkpoint

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


def export_model(state: Path | None, config: Mapping[str, Any], tokenizer: Path, folder: Path) -> None:
    """Write a model folder from a training state; with None, from fresh weights (for trying programs out)."""
    shape = Shape.from_config(dict(config))
    masters = initial_masters(shape, 0)
    biases = torch.zeros(shape.layers, shape.experts)
    if state is not None:
        with safe_open(state, framework="pt") as file:
            masters = {name: file.get_tensor(f"w.{name}") for name in masters}
            biases = file.get_tensor("biases")
    save_checkpoint(checkpoint_tensors(shape, masters, biases).items(), config, folder, storage="fp8")
    _write_json(folder / "generation_config.json", GENERATION_DEFAULTS)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(tokenizer / name, folder / name)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Indented JSON with a final newline."""
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
