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

    A file that cannot be written costs the file only. Calling it again replaces the handlers of the first call.
    """
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logger = logging.getLogger("app")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    _add(logger, to_stderr)
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        _add(logger, _QuietFileHandler(
            log_file, maxBytes=MAX_LOG_BYTES, backupCount=KEPT_LOG_FILES, encoding="utf-8"))
    except OSError as error:
        logger.warning("There will be no log file: %s", error)


def _add(logger: logging.Logger, handler: logging.Handler) -> None:
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger.addHandler(handler)


class _QuietFileHandler(RotatingFileHandler):
    """On a full disk the log loses lines; the traceback logging would print for each helps nobody."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Pass over what the disk refuses, and nothing else."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)
