"""The preview's runner against the real engine: one runner for all tests, a page of its own for each."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QPoint, QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app.core.web_export import single_html
from app.core.web_libraries import WebLibraries
from app.resources import resource_path
from app.services.input_events import drag
from app.services.preview_guard import NetworkGate
from app.services.runner import PageRunner
from app.services.watchdog import WatchdogLimits

SCENE = """<!-- cube -->
<!DOCTYPE html><body><script type="importmap">
{"imports": {"three": "https://cdn.jsdelivr.net/npm/three@0.128.0/build/three.module.js"}}</script>
<script type="module">
import * as THREE from 'three';
import { OrbitControls } from 'https://unpkg.com/three@0.150.0/examples/jsm/controls/OrbitControls.js';
const scene = new THREE.Scene();
scene.fog = new THREE.Fog(0xff0000, 1, 50);
scene.background = new THREE.Color(0x204060);
const camera = new THREE.PerspectiveCamera(60, 1, 0.1, 100);
camera.position.set(0, 1, 5);
const renderer = new THREE.WebGLRenderer();
renderer.setSize(200, 200);
document.body.append(renderer.domElement);
new OrbitControls(camera, renderer.domElement);
scene.add(new THREE.Mesh(new THREE.BoxGeometry(), new THREE.MeshStandardMaterial()));
scene.add(new THREE.InstancedMesh(new THREE.BoxGeometry(), new THREE.MeshStandardMaterial(), 5));
scene.add(new THREE.DirectionalLight(), new THREE.AmbientLight());
scene.add(new THREE.Points(new THREE.BufferGeometry().setFromPoints([new THREE.Vector3(), new THREE.Vector3()])));
renderer.setAnimationLoop(() => renderer.render(scene, camera));
</script>"""

Run = Callable[..., PageRunner]


@pytest.fixture(scope="module")
def shared_runner(qapp: QApplication) -> Iterator[PageRunner]:
    runner = PageRunner(
        WebLibraries(resource_path("web", "node_modules")),
        resource_path("web", "preview"),
        NetworkGate(),
        limits=WatchdogLimits(hang_s=1.0, memory_bytes=600 * 2**20),
    )
    runner.view.resize(320, 240)
    runner.view.show()
    yield runner
    runner.shut_down()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


@pytest.fixture
def run(shared_runner: PageRunner, tmp_path: Path, qtbot: QtBot) -> Iterator[Run]:
    """Run a page (and further files by name) and wait for its load event."""

    def run_page(page: str, **files: str) -> PageRunner:
        (tmp_path / "index.html").write_text(page)
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text)
        shared_runner.open_project(tmp_path)
        with qtbot.waitSignal(shared_runner.page_loaded, timeout=20_000):
            shared_runner.run()
        return shared_runner

    yield run_page
    shared_runner.set_network_allowed(False)
    shared_runner.close_page()


def describe(runner: PageRunner, qtbot: QtBot) -> dict:
    with qtbot.waitSignal(runner.page_described, timeout=20_000) as answer:
        runner.describe()
    return answer.args[1]


def logs(runner: PageRunner, qtbot: QtBot, text: str) -> Callable[[], None]:
    """Start listening; the function returned waits until the page has logged the text."""
    seen: list[str] = []

    def note(_level: str, line: str, _path: str, _line: int) -> None:
        seen.append(line)

    runner.console_written.connect(note)

    def wait() -> None:
        qtbot.waitUntil(lambda: any(text in line for line in seen), timeout=20_000)
        runner.console_written.disconnect(note)

    return wait


def click(runner: PageRunner) -> None:
    runner.view.activateWindow()
    target = runner.view.focusProxy()
    assert target is not None
    target.setFocus()
    drag(target, [QPoint(50, 50)])


def test_a_three_js_page_of_any_version_draws_and_its_scene_is_told(run: Run, qtbot: QtBot) -> None:
    runner = run(SCENE)
    qtbot.waitUntil(lambda: describe(runner, qtbot)["frames"] > 2, timeout=20_000)
    scene = describe(runner, qtbot)["scene"]
    assert (scene["meshes"], scene["instances"], scene["triangles"]) == (2, 5, 12 + 60)
    assert (scene["points"], scene["lights"]) == (2, 2)
    assert scene["fog"] == {"kind": "Fog", "color": "#ff0000"}
    assert scene["background"] == "#204060"
    assert scene["cameras"] == [{"kind": "PerspectiveCamera", "position": [0, 1, 5]}]
    assert runner.errors == []
    assert runner.blocked == []


def test_every_served_library_works_as_module_and_as_script(run: Run, qtbot: QtBot, shared_runner: PageRunner) -> None:
    wait = logs(shared_runner, qtbot, "all there")
    runner = run("""<script src="https://cdnjs.cloudflare.com/ajax/libs/three.js/r128/three.min.js"></script>
        <script src="https://cdn.jsdelivr.net/npm/three@0.128/examples/js/controls/OrbitControls.js"></script>
        <script src="https://d3js.org/d3.v7.min.js"></script>
        <script src="https://cdn.jsdelivr.net/npm/chart.js"></script>
        <script src="https://cdnjs.cloudflare.com/ajax/libs/matter-js/0.19.0/matter.min.js"></script>
        <script src="https://cdnjs.cloudflare.com/ajax/libs/cannon.js/0.6.2/cannon.min.js"></script>
        <script type="module">
        import { Engine } from 'matter-js'; import Matter2 from 'https://esm.sh/matter-js@0.20.0';
        import p5 from 'p5'; import { World } from 'cannon-es'; import { scaleLinear } from 'd3';
        import { max } from 'd3-array'; import AutoChart from 'chart.js/auto';
        import { EffectComposer } from 'three/addons/postprocessing/EffectComposer.js';
        const all = [THREE.Scene, THREE.OrbitControls, d3.select, Chart, Matter.Engine.create, CANNON.World,
          Engine.create, Matter2.Engine.create, p5, World, scaleLinear, max, AutoChart, EffectComposer];
        console.log(all.every((one) => typeof one === 'function') ? 'all there' : all.map((one) => typeof one).join());
        </script>""")
    wait()
    assert runner.errors == []
    assert runner.blocked == []


def test_errors_are_told_with_their_line_and_once(run: Run, qtbot: QtBot) -> None:
    runner = run(
        "<!-- a -->\n<!DOCTYPE html>\n<script>\nsetInterval(() => nope(), 5);\n"
        "Promise.reject(new Error('later'));\nconsole.error('said', {a: 1});\n</script>\n<script>let x = ;</script>"
        "<script type='module' src='part.js'></script><img src='no.png'>",
        part__js="const a = 1;\nnull.field;",
    )
    qtbot.waitUntil(lambda: len(runner.errors) == 6, timeout=20_000)
    found = {(error.kind, error.path, error.line) for error in runner.errors}
    assert found == {
        ("error", "index.html", 4), ("error", "index.html", 5), ("console", "index.html", 6),
        ("error", "index.html", 8), ("error", "part.js", 2), ("missing", "", 0),
    }  # fmt: skip
    assert any("nope is not defined" in error.message for error in runner.errors)
    assert any(error.message == 'said {"a":1}' for error in runner.errors)
    assert any("no.png" in error.message for error in runner.errors)


def test_files_are_read_again_at_every_run(run: Run, qtbot: QtBot) -> None:
    assert describe(run("<title>one</title>"), qtbot)["title"] == "one"
    assert describe(run("<title>two</title>"), qtbot)["title"] == "two"


def test_storage_lives_in_memory(run: Run, qtbot: QtBot, shared_runner: PageRunner) -> None:
    wait = logs(shared_runner, qtbot, "stored:")
    runner = run("""<script>localStorage.setItem('best', 12); localStorage.name = 'x'; sessionStorage.a = 1;
        document.cookie = 'c=1';
        console.log('stored:', localStorage.best, localStorage.length, localStorage.getItem('none'),
          Object.keys(localStorage).join(), sessionStorage.getItem('a'), document.cookie)</script>""")
    wait()
    assert runner.errors == []


def test_a_worker_of_the_project_runs(run: Run, qtbot: QtBot, shared_runner: PageRunner) -> None:
    wait = logs(shared_runner, qtbot, "from the worker: 6")
    runner = run(
        "<script>const w = new Worker('worker.js'); w.onmessage = (e) => console.log('from the worker: ' + e.data);"
        "w.postMessage(3)</script>",
        worker__js="importScripts('double.js'); onmessage = (e) => postMessage(double(e.data));",
        double__js="self.double = (x) => 2 * x;",
    )
    wait()
    assert runner.errors == []


def test_the_mouse_can_be_locked(run: Run, qtbot: QtBot) -> None:
    runner = run("""<body style="height:200px"><script>
        document.addEventListener('pointerlockchange', () => console.log('locked: ' + !!document.pointerLockElement));
        document.addEventListener('pointerlockerror', () => console.log('refused'));
        document.onclick = () => document.body.requestPointerLock();</script>""")
    wait = logs(runner, qtbot, "locked: true")
    click(runner)
    wait()


def test_pause_stops_the_pages_clock(run: Run, qtbot: QtBot) -> None:
    runner = run("<script>(function f() { requestAnimationFrame(f) })(); setInterval(() => {}, 10)</script>")
    with qtbot.waitSignal(runner.fps_measured, timeout=10_000, check_params_cb=lambda fps: fps > 5):
        pass
    with qtbot.waitSignal(runner.pause_changed, timeout=10_000, check_params_cb=lambda paused, _frame: paused):
        runner.set_paused(True)
    before = describe(runner, qtbot)["frames"]
    assert describe(runner, qtbot)["frames"] == before
    with qtbot.waitSignal(runner.pause_changed, timeout=10_000, check_params_cb=lambda paused, _frame: not paused):
        runner.set_paused(False)
    qtbot.waitUntil(lambda: describe(runner, qtbot)["frames"] > before, timeout=10_000)


def test_an_exported_page_runs(run: Run, qtbot: QtBot, tmp_path: Path) -> None:
    run("<script type='module'>import { word } from './a.js'; import { Scene } from 'three';"
        "document.title = word + typeof Scene</script>", a__js="export const word = 'hello ';")  # fmt: skip
    exported = single_html(tmp_path, "index.html")
    (tmp_path / "a.js").unlink()
    runner = run(exported)
    qtbot.waitUntil(lambda: describe(runner, qtbot)["title"] == "hello function", timeout=20_000)
    assert runner.errors == []


# --- the network


class Listener:
    """Counts TCP connections and UDP packets on all addresses of this machine; answers HTTP with "ok"."""

    def __init__(self) -> None:
        self.hits: list[bytes] = []
        self._tcp = socket.create_server(("0.0.0.0", 0))
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("0.0.0.0", self.port))
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._accept, self._receive)]
        for thread in self._threads:
            thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                try:
                    self.hits.append(connection.recv(4096)[:40])
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n\r\nok"
                    )
                except OSError:
                    self.hits.append(b"connected")

    def _receive(self) -> None:
        while True:
            try:
                self.hits.append(b"UDP" + self._udp.recv(100))
            except OSError:
                return

    def close(self) -> None:
        for one in (self._tcp, self._udp):
            one.close() if one is self._udp else one.shutdown(socket.SHUT_RDWR)
        self._tcp.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def outer_address() -> str:
    """An address of this machine other than loopback, which Chromium treats in a way of its own."""
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family == socket.AF_INET and not one.address.startswith("127."):
                return one.address
    pytest.skip("this machine has no network interface")


ESCAPES = """<!DOCTYPE html><head>
<link rel="preconnect" href="http://HOST/"><link rel="prefetch" href="http://HOST/prefetch">
<link rel="stylesheet" href="http://HOST/style"><link rel="modulepreload" href="http://HOST/modulepreload">
<link rel="dns-prefetch" href="http://HOST/"><link rel="preload" as="image" href="http://HOST/preload">
<link rel="icon" href="http://HOST/icon"><link rel="manifest" href="http://HOST/manifest">
<script type="importmap">{"imports": {"far": "http://HOST/importmap"}}</script>
<script type="speculationrules">{"prefetch":[{"source":"list","urls":["http://HOST/x"],"eagerness":"immediate"}]}</script>
<style>@import url(http://HOST/import); body { background: url(http://HOST/background) }
@font-face { font-family: x; src: url(http://HOST/font) } p { font-family: x }</style></head>
<body><p>text</p><img src="http://HOST/img"><video src="http://HOST/video"></video>
<video poster="http://HOST/poster"><track default src="http://HOST/track"></video><audio src="http://HOST/audio"></audio>
<picture><source srcset="http://HOST/srcset"><img></picture><svg><image href="http://HOST/svg"/></svg>
<div style="background: image-set('http://HOST/imageset' 1x); mask: url(http://HOST/mask); height: 9px"></div>
<a id="ping" href="#x" ping="http://HOST/ping"></a><a id="mail" href="mailto:a@b.example?body=x"></a>
<a id="file" download="a.txt" href="data:text/plain,text"></a><a id="save" download href="http://HOST/save"></a>
<object data="http://HOST/object"></object><iframe src="http://HOST/iframe"></iframe>
<form id="form" action="http://HOST/form" method="post"></form><a id="link" href="http://HOST/link"></a>
<script src="http://HOST/script"></script><script>
const HERE = 'http://HOST';
const attempt = (act) => { try { const r = act(); if (r && r.catch) r.catch(() => 0); } catch { } };
attempt(() => fetch(HERE + '/fetch'));
attempt(() => { const x = new XMLHttpRequest(); x.open('GET', HERE + '/xhr'); x.send(); });
attempt(() => navigator.sendBeacon(HERE + '/beacon', 'x'));
attempt(() => new WebSocket('ws://HOST/websocket'));
attempt(() => new EventSource(HERE + '/events'));
attempt(() => import(HERE + '/module'));
attempt(() => new Worker('worker.js'));
attempt(() => new Worker(URL.createObjectURL(new Blob([`fetch('${HERE}/blobworker').catch(() => 0)`]))));
attempt(() => new Worker('data:text/javascript,' + encodeURIComponent(`fetch('${HERE}/dataworker').catch(() => 0)`)));
attempt(() => navigator.serviceWorker.register(HERE + '/service'));
attempt(() => caches.open('x').then((cache) => cache.add(HERE + '/cache')));
attempt(() => new AudioContext().audioWorklet.addModule(HERE + '/worklet'));
attempt(() => fetch(HERE + '/keepalive', {method: 'POST', mode: 'no-cors', keepalive: true, body: 'x'}));
attempt(() => import('far'));
const blobFrame = document.createElement('iframe');
blobFrame.src = URL.createObjectURL(new Blob([`<script>fetch('${HERE}/blobframe').catch(() => 0)</` + 'script>'],
  {type: 'text/html'}));
document.body.append(blobFrame);
// empty frames run no script of the program's, and can be reached into at once
const empty = () => document.body.appendChild(document.createElement('iframe'));
const hidden = document.body.appendChild(document.createElement('p')).attachShadow({mode: 'closed'});
hidden.innerHTML = '<iframe></iframe>';
document.body.insertAdjacentHTML('beforeend', '<iframe name="named"></iframe>');
const inner = empty().contentDocument;
inner.open();
inner.write('<iframe></iframe>');
const views = [empty().contentWindow, empty().contentDocument.defaultView, hidden.firstChild.contentWindow, named,
  (empty(), frames[frames.length - 1]), inner.defaultView[0], inner.body.firstChild.contentWindow];
console.log('ways to WebRTC: ' + views.filter((view) => {
  try { return new view.RTCPeerConnection(); } catch { return false; }
}).length + ' of ' + views.length);
attempt(() => new WebTransport('https://HOST/transport').ready);
const frame = document.createElement('iframe');
frame.srcdoc = `<script>const p = new RTCPeerConnection({iceServers: [{urls: 'turn:HOST?transport=tcp', username: 'a',
  credential: 'b'}, {urls: 'stun:HOST'}]}); p.createDataChannel('x');
  p.createOffer().then((offer) => p.setLocalDescription(offer));</` + `script><img src="${HERE}/srcdoc">`;
document.body.append(frame);
attempt(() => new RTCPeerConnection({iceServers: [{urls: 'stun:HOST'}]}));
attempt(() => open(HERE + '/open'));
attempt(() => { top.location = HERE + '/top'; });
setTimeout(() => attempt(() => document.getElementById('form').submit()), 50);
setTimeout(() => attempt(() => document.getElementById('link').click()), 400);
setTimeout(() => attempt(() => { location = HERE + '/location'; }), 800);
setTimeout(() => attempt(() => { location = 'file:///etc/passwd'; }), 1200);
['ping', 'mail', 'file', 'save'].forEach((id, index) =>
  setTimeout(() => document.getElementById(id).click(), 1300 + 80 * index));
setTimeout(() => attempt(() => open(`javascript:fetch('${HERE}/script')`)), 1650);
setTimeout(() => attempt(() => open(HERE + '/self', '_self')), 1700);
setTimeout(() => console.log('still here'), 2100);
</script>"""


def test_no_way_leads_out_and_each_attempt_is_listed(
    run: Run, qtbot: QtBot, listener: Listener, tmp_path: Path, shared_runner: PageRunner
) -> None:
    host = f"{outer_address()}:{listener.port}"
    (tmp_path / "index.html").write_text(ESCAPES.replace("HOST", host))
    (tmp_path / "worker.js").write_text(f"fetch('http://{host}/worker').catch(() => 0)")
    shared_runner.open_project(tmp_path)
    no_peers = logs(shared_runner, qtbot, "ways to WebRTC: 0 of 7")
    wait = logs(shared_runner, qtbot, "still here")
    shared_runner.run()
    no_peers()
    wait()  # the page was not blanked by its navigations either
    assert listener.hits == []
    wanted = {
        "prefetch", "style", "modulepreload", "import", "background", "font", "img", "video", "script", "fetch", "xhr",
        "beacon", "events", "module", "worker", "blobworker", "link", "location", "open", "form", "webrtc",
        "preload", "icon", "importmap", "poster", "track", "audio", "srcset", "svg", "imageset", "mask", "dataworker",
        "cache", "worklet", "keepalive", "blobframe", "srcdoc", "save", "self", "another program", "a.txt",
        f"ws://{host}/websocket", "file:///etc/passwd",
        f"javascript:fetch('http://{host}/script')",
    }  # fmt: skip

    def all_listed() -> None:
        listed = {request.address.removeprefix(f"http://{host}/") for request in shared_runner.blocked}
        assert wanted - listed == set()

    qtbot.waitUntil(all_listed, timeout=20_000)
    assert listener.hits == []
    kinds = {request.kind for request in shared_runner.blocked}
    assert {"frame-src", "object-src", "top-level navigation", "navigation", "new window"} <= kinds


def test_the_switch_lets_the_network_in(run: Run, qtbot: QtBot, listener: Listener, shared_runner: PageRunner) -> None:
    address = f"http://{outer_address()}:{listener.port}/"
    page = f"""<script>fetch('{address}').then((r) => r.text()).then(
        (text) => console.log('answer: ' + text), () => console.log('answer: none'))</script>"""
    wait = logs(shared_runner, qtbot, "answer: none")
    run(page)
    wait()
    shared_runner.set_network_allowed(True)
    wait = logs(shared_runner, qtbot, "answer: ok")
    run(page)
    wait()
    assert shared_runner.blocked == []


def test_the_page_sees_neither_shell_nor_other_files(
    run: Run, qtbot: QtBot, shared_runner: PageRunner, tmp_path: Path
) -> None:
    (tmp_path.parent / "outside.txt").write_text("secret")
    wait = logs(shared_runner, qtbot, "done ")
    runner = run("""<script>
        const tell = (r) => r.text().then((t) => t.includes('secret') || t.includes('shell'), () => false);
        Promise.all(['preview://shell/', '../outside.txt', '%2e%2e/outside.txt', 'preview://vendor/../shell/']
          .map((a) => fetch(a).then(tell, () => false))).then((all) => console.log('done ' + all.join()));
        </script>""")
    seen: list[str] = []
    runner.console_written.connect(lambda _level, text, _path, _line: seen.append(text))
    wait()
    assert "true" not in "".join(seen)


# --- the watchdog


def test_a_page_that_loops_for_ever_is_ended_and_the_program_stays_responsive(run: Run, qtbot: QtBot) -> None:
    ticks: list[int] = []
    timer = QTimer(interval=20)
    timer.timeout.connect(lambda: ticks.append(1))
    runner = run("<p>text</p><script>setTimeout(() => { for (;;); }, 50)</script>")
    timer.start()
    with qtbot.waitSignal(runner.page_stopped, timeout=30_000) as stopped:
        pass
    timer.stop()
    assert "did not answer" in stopped.args[0]
    assert len(ticks) > 20  # our own event loop went on
    assert [error.kind for error in runner.errors] == ["stopped"]
    assert describe(run("<title>next</title>"), qtbot)["title"] == "next"


def test_a_page_that_loads_itself_without_end_is_ended_and_nothing_of_it_is_told_of_the_next(
    run: Run, qtbot: QtBot, shared_runner: PageRunner, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<script>location.reload()</script>")
    shared_runner.open_project(tmp_path)
    with qtbot.waitSignal(shared_runner.page_stopped, timeout=30_000) as stopped:
        shared_runner.run()
    assert "loading itself again" in stopped.args[0]
    run("<p>text</p><script>setInterval(() => { for (let i = 0; i < 50; i++) { "
        "new Image().src = 'http://example.com/' + Math.random(); console.error(Math.random()) } }, 5)</script>")
    qtbot.waitUntil(lambda: len(shared_runner.blocked) == len(shared_runner.errors) == 200, timeout=20_000)
    runner = run("<title>quiet</title>")
    assert describe(runner, qtbot)["title"] == "quiet"
    assert (runner.blocked, runner.errors) == ([], [])


def test_a_page_that_never_stops_allocating_is_ended(run: Run, qtbot: QtBot) -> None:
    runner = run("<script>const all = []; setInterval(() => all.push(new Uint8Array(2e7).fill(1)), 5)</script>")
    with qtbot.waitSignal(runner.page_stopped, timeout=30_000) as stopped:
        pass
    assert "memory" in stopped.args[0]


def test_a_dead_render_process_is_told(run: Run, qtbot: QtBot) -> None:
    runner = run("<p>text</p>")
    with qtbot.waitSignal(runner.page_stopped, timeout=30_000) as stopped:
        psutil.Process(runner.page.renderProcessPid()).kill()
    assert "unexpectedly" in stopped.args[0]
