"""Makes the screenshots of README and guides with the program itself, each in a fresh data folder."""

import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1] / "resources" / "docs"
MOUNTAINS = "a mountain scene at sunset with 80 pine trees and a frozen lake"
VIEWS = ("experts", "usage", "specialisation", "anatomy", "code", "bench")  # bench last: it writes the answer again
SHOTS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "window-dark.png": ("dark", "1600x1000", MOUNTAINS, ()),
    "window-light.png": ("light", "1600x1000", MOUNTAINS, ()),
    "small-dark.png": ("dark", "1024x700", "bouncing balls", ()),
    "first-start-light.png": ("light", "1600x1000", "", ()),
    # one picture of each view: experts-dark.png and so on
    "dark.png": ("dark", "1440x900", MOUNTAINS, VIEWS),
    "light.png": ("light", "1440x900", MOUNTAINS, VIEWS),
}


def main() -> int:
    """Write every picture of SHOTS, or those named on the command line; return the number that failed."""
    DOCS.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in sys.argv[1:] or SHOTS:
        theme, size, prompt, views = SHOTS[name]
        with tempfile.TemporaryDirectory() as basedir:
            command = [sys.executable, "-m", "app", "--basedir", basedir, "--screenshot", str(DOCS / name),
                       "--size", size, "--theme", theme]
            command += ["--prompt", prompt] if prompt else []
            done = subprocess.run(command + (["--view", *views] if views else []))
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
