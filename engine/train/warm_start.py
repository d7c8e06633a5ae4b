"""A training state that starts from a model folder instead of from noise: to teach a trained model more kinds.

The weights are what the folder's block FP8 decodes to. The vocabulary may grow on the way: the tokenizer gets phrases
of the programs it is now to write, and every new token begins as what it stands for. The optimiser begins afresh.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.config import read_config
from engine.train.loop import Trainer
from engine.train.network import Shape, bias_name, weight_table
from engine.train.plan import Plan
from engine.train.tokenizer import grow_tokenizer, load_tokenizer, save_tokenizer
from engine.weights.checkpoint import Checkpoint
from engine.weights.load import fp8_block, read_weight

EARLIER = "earlier.json"  # in a training folder: training.json of the model it started from


def start_from(folder: Path, plan: Plan, config: dict[str, Any], code: Iterable[str]) -> None:
    """Write tokenizer and training state of a plan from a model folder, with phrases of `code` up to config's size.

    Raises ValueError where the plan's folder holds a training state already, or the model is of another shape.
    """
    if plan.checkpoint.exists():
        raise ValueError(f"{plan.folder} holds a training state already. Go on with it (stage train), or give another "
                         "--folder.")
    known = load_tokenizer(folder)
    tokenizer = grow_tokenizer(known, code, config["vocab_size"])
    masters, biases = read_masters(folder, config)
    for name, first_only in (("embed", False), ("head", True)):
        masters[name] = grown_rows(masters[name], known, tokenizer, first_only=first_only)
    trainer = Trainer(plan, config, torch.device("cpu"), torch.float32)
    trainer.start(masters, biases)
    save_tokenizer(tokenizer, plan.tokenizer, config["max_position_embeddings"])
    shutil.copyfile(folder / "training.json", plan.folder / EARLIER)
    trainer.save(plan.checkpoint)


def read_masters(folder: Path, config: dict[str, Any]) -> tuple[dict[str, Tensor], Tensor]:
    """Masters and balancing biases [layers, E] of a model folder, float32, with the vocabulary that it has.

    Raises ValueError for a model whose tensors are not those of `config`, and for a damaged one.
    """
    stored = read_config(folder / "config.json")
    shape = Shape.from_config({**config, "vocab_size": stored["vocab_size"]})
    checkpoint, block = Checkpoint(folder), fp8_block(stored)

    def read(name: str, *dims: int) -> Tensor:
        checkpoint.require([name])
        return read_weight(checkpoint, name, dims, block).float()

    masters = {}
    for weight in weight_table(shape):
        count, columns = weight.shape[:-2] or (1,), weight.shape[1:][-1:]  # of experts; of a matrix, none of a norm
        experts = [[read(name.format(e=expert), rows, *columns) for name, rows in weight.parts]
                   for expert in range(*count)]
        masters[weight.name] = torch.stack([torch.cat(parts) for parts in experts]).view(weight.shape)
    biases = torch.zeros(shape.layers, shape.experts)
    for layer in range(shape.dense_layers, shape.layers):
        biases[layer] = read(bias_name(layer), shape.experts)
    return masters, biases


def grown_rows(rows_Vd: Tensor, known: Tokenizer, grown: Tokenizer, *, first_only: bool) -> Tensor:
    """Rows for the tokens that `grown` has more than `known`: the mean of the tokens each stood for before.

    With `first_only` the row of the first of them, as a head needs it: where that came, the phrase may come now.
    """
    new = []
    for token in range(known.get_vocab_size(), grown.get_vocab_size()):
        ids = known.encode(grown.decode([token]), add_special_tokens=False).ids
        new.append(rows_Vd[ids[:1] if first_only else ids].mean(0))
    return torch.cat([rows_Vd, torch.stack(new)]) if new else rows_Vd


def earlier_facts(plan: Plan) -> dict[str, Any]:
    """What the model that a plan started from had been trained on; nothing for a run from scratch."""
    path = plan.folder / EARLIER
    facts: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return facts
