"""How much memory a process has."""

import psutil


def memory_mb(process: psutil.Process) -> float:
    """A process's memory; pages it shares with others count by share where the system tells."""
    info = process.memory_full_info()
    return getattr(info, "pss", info.rss) / 1e6
