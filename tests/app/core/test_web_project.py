from pathlib import Path

import pytest

from app.core.web_libraries import WebLibraries
from app.core.web_project import content_type, find_entry, project_file, serve, with_import_map
from app.resources import resource_path


@pytest.fixture(scope="module")
def libraries() -> WebLibraries:
    return WebLibraries(resource_path("web", "node_modules"))


def test_the_entry_is_index_or_the_first_page(tmp_path: Path) -> None:
    assert find_entry(tmp_path) is None
    (tmp_path / "b.html").touch()
    (tmp_path / "a.htm").touch()
    assert find_entry(tmp_path) == "a.htm"
    (tmp_path / "index.html").touch()
    assert find_entry(tmp_path) == "index.html"


def test_files_outside_the_project_are_not_served(tmp_path: Path, libraries: WebLibraries) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "secret.txt").write_text("x")
    (project / "link.txt").symlink_to(tmp_path / "secret.txt")
    (project / "own.txt").write_text("own")
    assert project_file(project, "own.txt")
    for path in ("../secret.txt", "/../secret.txt", "link.txt", str(tmp_path / "secret.txt"), "a\0b", "x" * 5000):
        assert serve(project, path, libraries) is None, path


def test_pages_are_served_as_they_are_on_disk_now(tmp_path: Path, libraries: WebLibraries) -> None:
    page = tmp_path / "index.html"
    page.write_text("<p>one</p>")
    first = serve(tmp_path, "index.html", libraries)
    page.write_text("<p>two</p>")
    second = serve(tmp_path, "index.html", libraries)
    assert first is not None
    assert second is not None
    assert first.data.endswith(b"<p>one</p>")
    assert second.data.endswith(b"<p>two</p>")


def test_binary_files_are_served_untouched(tmp_path: Path, libraries: WebLibraries) -> None:
    data = bytes(range(256)) + b"https://unpkg.com/three"
    (tmp_path / "a.png").write_bytes(data)
    served = serve(tmp_path, "a.png", libraries)
    assert served is not None
    assert (served.data, served.content_type) == (data, "image/png")


@pytest.mark.parametrize(
    "page",
    [
        "<!-- understood -->\n<!DOCTYPE html>\n<html>\n<head lang=en>\n<script>1</script>",
        "<!DOCTYPE html>\n<!-- <head> -->\n<script>1</script>",
        "<!-- a -->\n<!doctype html><script type=module>1</script>",
        "<script>1</script>",
    ],
)
def test_our_import_map_comes_first_without_a_new_line(page: str) -> None:
    served = with_import_map(page, "{}")
    assert served.count("\n") == page.count("\n")
    assert served.index("importmap") < served.index(">1<")
    if "!doctype" in page.lower():
        assert served.lower().index("!doctype") < served.index("importmap")  # else the page would be in quirks mode
    assert served.replace('<script type="importmap">{}</script>', "") == page


def test_types_do_not_depend_on_the_system() -> None:
    assert content_type("a.js") == content_type("b.MJS") == "text/javascript"
    assert content_type("m.wasm") == "application/wasm"
    assert content_type("thing.unknown-kind") == "application/octet-stream"
