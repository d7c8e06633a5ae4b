"""A conversation's title, made from its first request."""

import re

MAX_TITLE_CHARS = 56
_POLITE = re.compile(
    r"^(?:(?:hi|hello|hey)[ ,!]+)?(?:please[ ,]+)?"
    r"(?:(?:can|could|would|will) you (?:please )?"
    r"|i(?: would|'d)? (?:want|like|need)(?: you)?(?: to (?:see|have|get))? )?"
    r"(?:please )?(?:to )?(?:(?:make|show|give|draw|build|create|write|generate|code)(?: me)? )?(?:an?|the|some) ",
    re.IGNORECASE,
)


def title_of_request(text: str) -> str:
    """One short line: "please make me a snowy mountain scene" becomes "Snowy mountain scene"."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = " ".join((lines[0] if lines else "").split())
    short = _POLITE.sub("", line, count=1).strip(" .,;:!?") or line.strip(" .,;:") or "New conversation"
    if len(short) > MAX_TITLE_CHARS:
        cut = short[: MAX_TITLE_CHARS - 1]
        head, _, _ = cut.rpartition(" ")
        short = (head if len(head) > MAX_TITLE_CHARS // 2 else cut).rstrip(" .,;:") + "…"
    return short[0].upper() + short[1:]
