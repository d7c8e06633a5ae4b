"""Which device a model runs on, and how many threads it gets there."""

import os

import torch

from engine.models.base import ModelShape
from engine.scheduler import SMALL_MODEL_PARAMETERS

DEVICE_NAMES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str = "auto") -> torch.device:
    """Choose CUDA, then Apple's MPS, then the CPU; or the named one.

    Raises:
        ValueError: the named device is unknown or not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if not there.get(name, False):
        raise ValueError(f"There is no device {name!r} here. Choose one of: "
                         f"{', '.join(kind for kind, is_there in there.items() if is_there)}.")
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """Name a device for people: "CPU, 1 thread" or the GPU's name."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type == "mps":
        return "Apple GPU"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def set_threads(shape: ModelShape) -> None:
    """Give a small model one thread and a large one all cores but one.

    Never all: OpenMP's threads wait for each other in a spin loop, and one busy neighbour process then slows
    decoding a hundredfold (measured with two threads on two cores).
    """
    small = shape.num_active_parameters < SMALL_MODEL_PARAMETERS
    torch.set_num_threads(1 if small else max(1, (os.cpu_count() or 2) - 1))
