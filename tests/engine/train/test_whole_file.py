"""Files that are there whole or not at all."""

from pathlib import Path

import pytest

from engine.train.whole_file import whole_file, write_whole


def write_half(path: Path) -> None:
    with whole_file(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write("ne")
        file.flush()
        file.write("\u96ea")


def test_what_was_cut_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_half(path)
    assert path.read_text() == "old"
    write_whole(path, "new")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("report.json", "new")]
