"""Makes the screenshots of README and guides with the program itself, each in a fresh data folder."""

import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1] / "resources" / "docs"
MOUNTAINS = "a snowy mountain scene at sunset with 80 pine trees and a frozen lake"
VIEWS = ("experts", "usage", "specialisation", "bench", "anatomy", "code")
SHOTS = {
    "window-dark.png": ("dark", "1600x1000", MOUNTAINS, ""),
    "window-light.png": ("light", "1600x1000", MOUNTAINS, ""),
    "small-dark.png": ("dark", "1024x700", "bouncing balls", ""),
    "first-start-light.png": ("light", "1600x1000", "", ""),
    **{f"{view}-{theme}.png": (theme, "1280x800", MOUNTAINS, view) for view in VIEWS for theme in ("dark", "light")},
}


def main() -> int:
    """Write every picture of SHOTS, or those named on the command line; return the number that failed."""
    DOCS.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in sys.argv[1:] or SHOTS:
        theme, size, prompt, view = SHOTS[name]
        with tempfile.TemporaryDirectory() as basedir:
            command = [sys.executable, "-m", "app", "--basedir", basedir, "--screenshot", str(DOCS / name),
                       "--size", size, "--theme", theme]
            command += ["--prompt", prompt] if prompt else []
            done = subprocess.run(command + (["--view", view] if view else []))
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
