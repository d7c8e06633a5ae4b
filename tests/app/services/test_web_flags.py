from app.services.web_flags import FLAGS_VARIABLE, apply_web_flags, draws_in_software, runs_as_root, web_flags


def test_webrtc_is_closed_and_the_sandbox_stays_unless_root() -> None:
    flags = web_flags(software_gl=False, no_sandbox=False)
    assert "--force-webrtc-ip-handling-policy=disable_non_proxied_udp" in flags
    assert "--no-sandbox" not in flags
    assert "--ignore-gpu-blocklist" not in flags


def test_without_a_screen_webgl_is_drawn_in_software_and_own_flags_stay() -> None:
    environment = {"QT_QPA_PLATFORM": "offscreen", FLAGS_VARIABLE: "--mute-audio"}
    apply_web_flags(environment)
    once = environment[FLAGS_VARIABLE]
    assert once.startswith("--mute-audio ")
    assert "--enable-unsafe-swiftshader" in once
    assert ("--no-sandbox" in once) == runs_as_root()
    apply_web_flags(environment)
    assert environment[FLAGS_VARIABLE] == once


def test_the_flags_tell_whether_pages_are_drawn_in_software() -> None:
    environment = {"QT_QPA_PLATFORM": "offscreen"}
    assert not draws_in_software(environment)
    apply_web_flags(environment)
    assert draws_in_software(environment)
