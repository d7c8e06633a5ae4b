"""Server-sent events, from bytes as they arrive to the data of each event. Knows nothing of what the data says."""


class SseParser:
    """Feed it bytes in any pieces; it gives the data of every event that is complete.

    Follows the HTML standard's event stream: lines end in LF, CR or CRLF, several data lines are joined by LF,
    comments and other fields are passed over.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[str]:
        """Add bytes; return the data of the events they complete."""
        # The pieces of a line are joined only when it ends, so that a long line costs what it weighs.
        buffer = self._rest + data
        if buffer.endswith(b"\r"):
            # Perhaps half of a CRLF: it is looked at with the next bytes.
            held, buffer = b"\r", buffer[:-1]
        else:
            held = b""
        lines = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        return [event for line in lines if (event := self._take_line(line)) is not None]

    def finish(self) -> list[str]:
        """The stream has ended: an event whose empty line is missing counts too."""
        events = self.feed(b"\n\n")
        return [event for event in events if event]

    def _take_line(self, line: bytes) -> str | None:
        if not line:
            data, self._data = self._data, []
            return "\n".join(data) if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" ").decode("utf-8", errors="replace"))
        return None
