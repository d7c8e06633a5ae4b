"""What running a page showed: errors, refused requests, and the report of a proof of run. Values only."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageError:
    """An error of the page. `path` is the project file ("" if unknown); line and column count from 1, 0 is unknown.

    `kind` is "error" for uncaught errors, "console" for console.error, "missing" for a file that isn't there and
    "stopped" for what the watchdog ended.
    """

    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    stack: str = ""
    kind: str = "error"

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}: " if self.line else f"{self.path}: " if self.path else ""
        return where + self.message

    def to_json(self) -> Json:
        """Return the form used by `expertarium check --json`."""
        return {
            "kind": self.kind, "message": self.message, "path": self.path or None, "line": self.line or None,
            "column": self.column or None, "stack": self.stack,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedRequest:
    """A request that was refused. `kind` says by what means, such as "connect-src", "image" or "navigation"."""

    address: str
    kind: str

    def __str__(self) -> str:
        return f"{self.address} ({self.kind})"

    def to_json(self) -> Json:
        """Return the form used by `expertarium check --json`."""
        return {"address": self.address, "kind": self.kind}


@dataclass(slots=True, kw_only=True)
class RunReport:
    """The outcome of one proof of run.

    fps is None for a page that draws no frames of its own. `moved`: the picture changes without input;
    `reacted`: keys or mouse change it; `reacted_to` says which of "keys" and "mouse". `scene` is None when three.js
    drew nothing.
    """

    path: str
    errors: list[PageError] = field(default_factory=list)
    blocked_requests: list[BlockedRequest] = field(default_factory=list)
    fps: float | None = None
    blank: bool = True
    moved: bool = False
    reacted_to: list[str] = field(default_factory=list)
    scene: Json | None = None
    page: Json = field(default_factory=dict)
    screenshot: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the page ran clean: it drew something, no error, nothing refused."""
        return not self.errors and not self.blocked_requests and not self.blank

    def to_json(self) -> Json:
        """Return the stable JSON form."""
        return {
            "path": self.path, "ok": self.ok,
            "errors": [error.to_json() for error in self.errors],
            "blocked_requests": [request.to_json() for request in self.blocked_requests],
            "fps": self.fps, "blank": self.blank, "moved": self.moved,
            "reacted": bool(self.reacted_to), "reacted_to": self.reacted_to,
            "scene": self.scene, "page": self.page, "screenshot": self.screenshot,
            "seconds": round(self.seconds, 2),
        }  # fmt: skip

    def to_text(self) -> str:
        """Return a few lines for a person."""
        lines = [f"{self.path}: {'ran clean' if self.ok else 'did not run clean'}"]
        lines += [f"  error: {error}" for error in self.errors]
        lines += [f"  refused: {request}" for request in self.blocked_requests]
        if self.blank:
            lines.append("  the page stayed blank")
        frames = "no frames of its own" if self.fps is None else f"{self.fps:.0f} fps"
        reacts = " and ".join(self.reacted_to) or "nothing"
        lines.append(f"  {frames}; {'moves' if self.moved else 'stands still'}; reacts to {reacts}")
        return "\n".join(lines)


def fix_request(errors: list[PageError], source_lines: dict[tuple[str, int], str]) -> str:
    """Return the message that asks the model to repair the page.

    Args:
        errors: the errors of the run; only the first five are told.
        source_lines: the text of the lines they point at, by (path, line), where it is known.
    """
    parts = ["The page has an error. Please fix it." if len(errors) == 1 else "The page has errors. Please fix them."]
    for error in errors[:5]:
        parts.append(f"- {error}")
        line = source_lines.get((error.path, error.line), "").strip()
        if line:
            parts.append(f"  `{line[:160]}`")
    if len(errors) > 5:
        parts.append(f"- and {len(errors) - 5} more")
    return "\n".join(parts)
