"""Makes the README's screenshots with the program itself, each in a fresh data folder."""

import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parents[1] / "resources" / "docs"
SHOTS = {
    "window-dark.png": ("dark", "1600x1000", "a snowy mountain scene at sunset with 80 pine trees and a frozen lake"),
    "window-light.png": ("light", "1600x1000", "a snowy mountain scene at sunset with 80 pine trees and a frozen lake"),
    "small-dark.png": ("dark", "1024x700", "bouncing balls"),
    "first-start-light.png": ("light", "1600x1000", ""),
}


def main() -> int:
    """Write every picture of SHOTS, or those named on the command line; return the number that failed."""
    DOCS.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in sys.argv[1:] or SHOTS:
        theme, size, prompt = SHOTS[name]
        with tempfile.TemporaryDirectory() as basedir:
            command = [sys.executable, "-m", "app", "--basedir", basedir, "--screenshot", str(DOCS / name),
                       "--size", size, "--theme", theme]
            done = subprocess.run(command + (["--prompt", prompt] if prompt else []))
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
