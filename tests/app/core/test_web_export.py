import base64
import io
import json
import re
import zipfile
from pathlib import Path

from app.core.web_export import single_html, zip_bytes

PAGE = """<!DOCTYPE html>
<link rel="stylesheet" href="css/style.css">
<img src="pic.png"><img src="https://example.com/a.png">
<script src="plain.js" defer></script>
<script src="https://cdn.jsdelivr.net/npm/chart.js"></script>
<script type="module">import * as THREE from 'three'; import { a } from './lib/a.js';</script>
"""


def make_project(folder: Path) -> None:
    (folder / "css").mkdir()
    (folder / "lib").mkdir()
    (folder / "index.html").write_text(PAGE)
    (folder / "css" / "style.css").write_text("body { background: url(../pic.png) }")
    (folder / "pic.png").write_bytes(b"PNG")
    (folder / "plain.js").write_text("const text = '</script>';")
    (folder / "lib" / "a.js").write_text("import { b } from './b.js'; export const a = b;")
    (folder / "lib" / "b.js").write_text("import { a } from './a.js'; export const b = 1;")


def test_one_file_holds_everything_of_the_project_and_names_the_rest(tmp_path: Path) -> None:
    make_project(tmp_path)
    page = single_html(tmp_path, "index.html")
    picture = "data:image/png;base64," + base64.b64encode(b"PNG").decode()
    assert page.count(picture) == 2
    assert "https://example.com/a.png" in page
    assert "const text = '<\\/script>';" in page
    assert 'src="https://cdn.jsdelivr.net/npm/chart.js"' in page
    found = re.search(r'<script type="importmap">(.*?)</script>', page)
    assert found is not None
    imports = json.loads(found[1])["imports"]
    assert set(imports) == {"three", "project/lib/a.js", "project/lib/b.js"}
    a = base64.b64decode(imports["project/lib/a.js"].partition("base64,")[2]).decode()
    assert a == "import { b } from 'project/lib/b.js'; export const a = b;"


def test_a_page_with_an_import_map_keeps_that_one_map(tmp_path: Path) -> None:
    own = '<script type="importmap">{"imports": {"three": "https://unpkg.com/three"}}</script>'
    (tmp_path / "index.html").write_text(f"{own}<script type=module>import 'three'; import 'd3'</script>")
    page = single_html(tmp_path, "index.html")
    assert page.count("importmap") == 1
    assert '"three": "https://unpkg.com/three"' in page
    assert '"d3": "https://cdn' in page


def test_the_zip_holds_the_files(tmp_path: Path) -> None:
    make_project(tmp_path)
    with zipfile.ZipFile(io.BytesIO(zip_bytes(tmp_path))) as archive:
        assert set(archive.namelist()) == {
            "css/style.css", "index.html", "lib/a.js", "lib/b.js", "pic.png", "plain.js",
        }  # fmt: skip
        assert archive.read("pic.png") == b"PNG"
