"""One program per data folder: two would overwrite each other's project files."""

from pathlib import Path

from PySide6.QtCore import QLockFile

from app.core.problem import Problem


class InstanceLock:
    """A lock file that the system frees when the program ends, killed or not."""

    def __init__(self, lock_file: Path) -> None:
        self._folder = lock_file.parent
        self._lock = QLockFile(str(lock_file))
        # 0 = never stale by age; a lock of a dead process is still recognised by its process id.
        self._lock.setStaleLockTime(0)

    def acquire(self) -> None:
        """Take the lock. Raises Problem when another program has the data folder open or it is not writable."""
        if self._lock.tryLock(0):
            return
        if self._lock.error() == QLockFile.LockError.PermissionError:
            raise Problem(
                f"The data folder {self._folder} cannot be used.",
                "You do not have permission to write there.",
                "Change its permissions or start with --basedir and another folder.",
            )
        pid = self._owner()
        raise Problem(
            "Expertarium is already open on this data folder.",
            f"Process {pid} has {self._folder} open." if pid else f"Another program has {self._folder} open.",
            "Use the window that is open, or start with --basedir and another folder.",
        )

    def release(self) -> None:
        """Give the lock back; harmless when it was never taken."""
        self._lock.unlock()

    def _owner(self) -> int:
        # PySide gives (pid, host name, program name), or False.
        info: object = self._lock.getLockInfo()
        return int(info[0]) if isinstance(info, tuple) else 0
