"""Tool calls in Kimi K2's form, taken out of an answer's text as it streams.

`<|tool_calls_section_begin|>` then, for each call, `<|tool_call_begin|>functions.NAME:INDEX
<|tool_call_argument_begin|>JSON<|tool_call_end|>`, then `<|tool_calls_section_end|>`.
"""

import re
from dataclasses import dataclass

_SECTION = "<|tool_calls_section_begin|>"
_CALL = re.compile(
    r"<\|tool_call_begin\|>\s*(?P<id>.*?)\s*<\|tool_call_argument_begin\|>(?P<arguments>.*?)<\|tool_call_end\|>",
    re.DOTALL,
)
_NAME = re.compile(r"^(?:functions\.)?(?P<name>.+?)(?::\d+)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


class ToolCallSplitter:
    """Feed it the text of an answer; it gives back the part that is content."""

    def __init__(self) -> None:
        self._held = ""
        self._section: list[str] | None = None

    def feed(self, text: str) -> str:
        """Take in text; give what is surely no part of the calls."""
        if self._section is not None:
            self._section.append(text)
            return ""
        self._held += text
        before, marker, after = self._held.partition(_SECTION)
        if marker:
            self._section, self._held = [after], ""
            return before
        size = next((n for n in range(len(_SECTION) - 1, 0, -1) if before.endswith(_SECTION[:n])), 0)
        self._held = before[len(before) - size:]
        return before[: len(before) - size]

    def finish(self) -> tuple[str, list[ToolCall]]:
        """Give the rest of the content and the calls."""
        calls = []
        for found in _CALL.finditer("".join(self._section or ())):
            match = _NAME.match(found["id"])
            calls.append(ToolCall(id=found["id"], name=match["name"] if match else found["id"],
                                  arguments=found["arguments"].strip()))
        return self._held, calls
