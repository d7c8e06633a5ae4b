"""The log: everything to a rotating file in the data folder, warnings to stderr as well."""

import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_LOG_BYTES = 2_000_000
KEPT_LOG_FILES = 3
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def set_up_logging(log_file: Path, *, verbose: bool = False) -> None:
    """Send this program's log to `log_file` and to stderr (all of it when `verbose`).

    Calling it again replaces the handlers of the first call.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    to_file = RotatingFileHandler(log_file, maxBytes=MAX_LOG_BYTES, backupCount=KEPT_LOG_FILES, encoding="utf-8")
    to_file.setLevel(logging.DEBUG)
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger = logging.getLogger("app")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    for handler in (to_file, to_stderr):
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)


def log_tail(log_file: Path, *, lines: int = 200) -> str:
    """The last `lines` lines of the log, for "Copy diagnostics"; empty when there is none."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, log_file.stat().st_size - 200 * lines))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
