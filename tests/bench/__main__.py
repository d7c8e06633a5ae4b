"""`make bench`: measures engine and window and prints a Markdown table."""

import json
import platform
import subprocess
import sys

from tests.bench.engine import measure_engine, measure_transformers


def measure_window() -> dict[str, float]:
    """Return the window's figures, measured in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "tests.bench.window"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the window's part failed:\n{done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print the table."""
    figures = {**measure_engine(), **measure_transformers(), **measure_window()}
    print(f"{platform.processor() or platform.machine()}, {platform.platform()}\n\n| figure | value |\n|---|---|")
    for name, value in figures.items():
        print(f"| {name} | {value:.2f} |" if value < 10 else f"| {name} | {value:,.0f} |")


if __name__ == "__main__":
    main()
