"""A table of numbers as a value, and as CSV. What isn't given stays an empty cell, never a zero."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Cell = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and rows; `about` says what all of it was computed from (model, tokens, phase)."""

    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]
    about: Mapping[str, str] = field(default_factory=dict)

    def as_csv(self) -> str:
        """The table with a heading line; what `about` says is repeated in columns, so that rows can be mixed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*self.columns, *self.about])
        constant = list(self.about.values())
        for row in self.rows:
            writer.writerow([*map(_text, row), *constant])
        return text.getvalue()


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
