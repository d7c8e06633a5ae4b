"""A table as CSV."""

import csv

from app.core.table import Table


def test_absent_cells_are_empty_text_is_quoted_and_the_source_is_repeated() -> None:
    table = Table(columns=("token", "weight", "count"), rows=[['a,"b"\n', None, 0], ["ü", 1 / 3, 2]],
                  about={"model": "nano", "computed_from": "2 tokens"})
    rows = list(csv.reader(table.as_csv().splitlines(keepends=True)))
    assert rows == [
        ["token", "weight", "count", "model", "computed_from"],
        ['a,"b"\n', "", "0", "nano", "2 tokens"],
        ["ü", "0.333333", "2", "nano", "2 tokens"],
    ]
