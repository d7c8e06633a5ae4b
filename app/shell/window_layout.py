"""What the window keeps of its layout, and how it is read back: a damaged file costs the layout, never the start."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from app.shell.right_side import Mode

PANEL_PX = 300
_MAX_PX = 4000


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowLayout:
    """`geometry` and `splitters` are Qt's own states in base 64; `conversations` are ids, from the left.

    `chat_px` is the width the person gave the chats beside a project, 0 for none.
    """

    geometry: str = ""
    splitters: tuple[str, ...] = ()
    mode: Mode = "split"
    sidebar: bool = True
    panel: str = ""
    panel_folded: bool = True
    panel_px: int = PANEL_PX
    chat_px: int = 0
    conversations: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object that is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: object) -> "WindowLayout | None":
        """Read what was stored, with defaults for what makes no sense; None when nothing was."""
        if not isinstance(value, Mapping) or not value:
            return None
        return cls(
            geometry=_ascii(value.get("geometry")),
            splitters=tuple(_ascii(state) for state in _list(value.get("splitters"))),
            mode=value["mode"] if value.get("mode") in get_args(Mode) else "split",
            sidebar=value.get("sidebar") is not False,
            panel=str(value.get("panel") or ""),
            panel_folded=value.get("panel_folded") is not False,
            panel_px=_pixels(value.get("panel_px")) or PANEL_PX,
            chat_px=_pixels(value.get("chat_px")),
            conversations=tuple(number for number in _list(value.get("conversations")) if type(number) is int),
        )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _pixels(value: object) -> int:
    return value if type(value) is int and 0 < value <= _MAX_PX else 0


def _ascii(value: object) -> str:
    return value if isinstance(value, str) and value.isascii() else ""
