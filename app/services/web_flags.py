"""The one place that decides which flags QtWebEngine starts with. They must be set before the application object."""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

FLAGS_VARIABLE = "QTWEBENGINE_CHROMIUM_FLAGS"

_ALWAYS = (
    # WebRTC gets past the page's policy and the interceptor; this leaves it no way out
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--autoplay-policy=no-user-gesture-required",
    # neither passes the request interceptor
    "--disable-features=WebTransport,SpeculationRulesPrefetchFuture,PreconnectToSearch",
    "--dns-prefetch-disable",
    "--disable-background-networking",
)
_SOFTWARE_GL = ("--ignore-gpu-blocklist", "--enable-unsafe-swiftshader")


def has_gpu() -> bool:
    """Whether this machine shows a graphics device; on systems other than Linux we let Chromium find out."""
    if os.name != "posix" or not Path("/proc").is_dir():
        return True
    return any(Path("/dev/dri").glob("renderD*"))


def runs_as_root() -> bool:
    """Whether Chromium's sandbox can't start because we are root. Shown in the status bar when so."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def web_flags(*, software_gl: bool, no_sandbox: bool) -> list[str]:
    """Return Chromium's flags.

    Args:
        software_gl: draw WebGL on the processor: no GPU, no screen, or the person asked for it.
        no_sandbox: only for root, where Chromium refuses to start otherwise.
    """
    return [*_ALWAYS, *(_SOFTWARE_GL if software_gl else ()), *(("--no-sandbox",) if no_sandbox else ())]


def draws_in_software(environment: Mapping[str, str]) -> bool:
    """Whether pages are drawn by the processor, by the flags that `apply_web_flags` has set."""
    return _SOFTWARE_GL[-1] in environment.get(FLAGS_VARIABLE, "").split()


def apply_web_flags(environment: MutableMapping[str, str], *, force_webgl: bool = False) -> None:
    """Put the flags into the environment, after what the person has set there. A second call changes nothing.

    Args:
        environment: os.environ.
        force_webgl: the person's answer to "no WebGL": ignore the GPU block list and draw in software.
    """
    headless = environment.get("QT_QPA_PLATFORM", "").startswith("offscreen")
    flags = web_flags(software_gl=force_webgl or headless or not has_gpu(), no_sandbox=runs_as_root())
    present = environment.get(FLAGS_VARIABLE, "").split()
    environment[FLAGS_VARIABLE] = " ".join([*present, *(flag for flag in flags if flag not in present)])
