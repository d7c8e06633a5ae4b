"""Processes that train one model together on one machine's cores, each on samples of its own.

Two processes of one thread train 1.4 times as fast as one of two threads: the products of a small model are too short
to be shared out among threads. Every member holds the whole model and takes the same step, from gradients added up
over all; `Group` is what they agree by. A group of one agrees with itself at no cost.
"""

import multiprocessing
import tempfile
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(minutes=10)  # a member that has not been heard of for so long is given up


class Group(Protocol):
    """What the members of a training run tell each other. Every call is made by all of them, in the same order."""

    rank: int
    size: int

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors of one type by their sums over the members, in place."""

    def largest(self, values: Tensor) -> None:
        """Replace each value by the largest that any member has, in place."""

    def first(self, value: float) -> float:
        """The value that the first member has."""


class Alone:
    """A group of one."""

    rank, size = 0, 1

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Sums of one."""

    def largest(self, values: Tensor) -> None:
        """The largest of one."""

    def first(self, value: float) -> float:
        """Its own."""
        return value


class Member:
    """One of several processes, over torch.distributed's gloo. Raises RuntimeError when another one is gone."""

    def __init__(self, rank: int, size: int, meeting: Path) -> None:
        self.rank, self.size = rank, size
        dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=size, timeout=PATIENCE)

    def add(self, tensors: Iterable[Tensor]) -> None:
        """As one long tensor: one exchange instead of hundreds."""
        parts = list(tensors)
        whole = torch.cat([part.reshape(-1) for part in parts])
        dist.all_reduce(whole)
        for part, summed in zip(parts, torch.split(whole, [part.numel() for part in parts]), strict=True):
            part.copy_(summed.view_as(part))

    def largest(self, values: Tensor) -> None:
        """The maximum over the members."""
        dist.all_reduce(values, dist.ReduceOp.MAX)

    def first(self, value: float) -> float:
        """Broadcast from rank 0."""
        told = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(told, src=0)
        return float(told)


def run_together(size: int, work: Callable[[Group], None]) -> None:
    """Do `work` in `size` processes, of which this is the first; the others end with it.

    `work` is sent to the others by pickle. Its errors are raised here, if they are this process's.
    """
    if size == 1:
        work(Alone())
        return
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        others = [processes.Process(target=_join, args=(rank, size, meeting, work), daemon=True)
                  for rank in range(1, size)]
        for other in others:
            other.start()
        _join(0, size, meeting, work)
        for other in others:
            other.join()


def _join(rank: int, size: int, meeting: Path, work: Callable[[Group], None]) -> None:
    """Be one member until the work is done."""
    member = Member(rank, size, meeting)
    try:
        work(member)
    finally:
        dist.destroy_process_group()
