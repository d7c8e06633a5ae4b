"""The mean of several training states of one model: "model soups" (Wortsman et al. 2022).

States that one training passed through lie in one valley, so the mean of their weights is a model too. It answers like
all of them on what they agree on and loses what each learnt last by chance, which on a small model trained at a high
rate is worth more than minutes of training.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.train.whole_file import whole_file


def average_states(states: Sequence[Path], shares: Sequence[float], out: Path) -> None:
    """Write the mean of training states by `shares` (summing to 1) to `out`; steps and time are those of the last.

    The shares are kept with them. Weights, optimiser moments and biases are all averaged, so that training can go on
    from it. `out` may be one of the states. Raises ValueError where shares and states don't fit together, or a state
    can't be read or is of another model.
    """
    if not states or len(shares) != len(states) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"{len(states)} states were given with the shares {list(shares)}. Give one share for each "
                         "state, 1 in all.")
    total: dict[str, Tensor] = {}
    types: dict[str, torch.dtype] = {}
    meta: dict[str, str] = {}
    for path, share in zip(states, shares, strict=True):
        try:
            with safe_open(path, framework="pt") as file:
                meta = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path} can't be read as a training state: {error}. Give copies of state.safetensors."
                             ) from error
        if total and {name: tensor.shape for name, tensor in tensors.items()} != {n: t.shape for n, t in total.items()}:
            raise ValueError(f"{path} is a state of another model than {states[0]}. Average states of one training.")
        types = {name: tensor.dtype for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            part = share * tensor.float()
            total[name] = total[name] + part if name in total else part
    meta["position"] = json.dumps({**json.loads(meta["position"]), "shares": list(shares)})
    with whole_file(out) as temporary:
        save_file({name: tensor.to(types[name]) for name, tensor in total.items()}, temporary, metadata=meta)
