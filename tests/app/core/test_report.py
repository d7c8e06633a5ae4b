"""The diagnostics report names versions and states, and not the person."""

from pathlib import Path

from app.core.report import diagnostics, installed_version


def test_it_holds_facts_versions_and_log_tails_without_the_home_folder(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("\n".join(f"line {n} in {Path.home()}/work" for n in range(200)))
    report = diagnostics({"engine": "ready"}, app_log=log, engine_log="loading\nready")
    assert "- engine: ready" in report
    assert f"- torch: {installed_version('torch')}" in report
    assert "line 199 in ~/work" in report
    assert "line 100 in" not in report
    assert str(Path.home()) not in report


def test_a_missing_log_or_package_is_said(tmp_path: Path) -> None:
    report = diagnostics({}, app_log=tmp_path / "none.log", engine_log="")
    assert "(no log: No such file or directory)" in report
    assert installed_version("no-such-package") == "not installed"
