"""How a fault the person can do something about is told: what happened, why, and what to do next.

Faults of ours are assertions and never become a Problem.
"""

import errno
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemText:
    """The words of a problem, as a value that signals can carry."""

    what: str
    why: str
    next_step: str

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.next_step) if part)


class Problem(ValueError):  # noqa: N818 - people read it, "error" says less
    """Something the person did or has that does not work, with cause and next step."""

    def __init__(self, what: str, why: str, next_step: str) -> None:
        self.text = ProblemText(what=what, why=why, next_step=next_step)
        super().__init__(str(self.text))

    @property
    def what(self) -> str:
        """What happened, one sentence."""
        return self.text.what

    @property
    def why(self) -> str:
        """The cause, one sentence."""
        return self.text.why

    @property
    def next_step(self) -> str:
        """What the person can do now."""
        return self.text.next_step


_CAUSES = {
    errno.ENOSPC: ("The disk is full.", "Free some space and try again; nothing that was there has been changed."),
    errno.EDQUOT: ("Your disk quota is used up.", "Free some space and try again; nothing has been changed."),
    errno.EACCES: ("You do not have permission for it.", "Change the permissions of the folder or choose another one."),
    errno.EPERM: ("You do not have permission for it.", "Change the permissions of the folder or choose another one."),
    errno.EROFS: ("It is on a read-only disk.", "Choose a folder on a disk that can be written."),
    errno.ENOENT: ("It is not there any more.", "Restore it, or choose another one."),
    errno.ENOTDIR: ("A part of its path is a file, not a folder.", "Move that file away or choose another folder."),
    errno.EEXIST: ("A part of its path is a file, not a folder.", "Move that file away or choose another folder."),
    errno.EISDIR: ("There is a folder of that name.", "Choose another name."),
    errno.ENAMETOOLONG: ("Its name is too long for this disk.", "Choose a shorter name."),
}


def problem_of_os_error(what: str, error: OSError) -> Problem:
    """Turn an error of the operating system into a Problem; `what` is the sentence that leads it."""
    why, next_step = _CAUSES.get(error.errno or 0, ("", ""))
    if not why:
        why = f"The system says: {error.strerror or error}."
        next_step = "Try again; if it stays, choose another folder."
    return Problem(what, why, next_step)
