import json

from app.core.run_report import BlockedRequest, PageError, RunReport, fix_request


def test_only_a_page_that_draws_and_asks_for_nothing_is_ok() -> None:
    report = RunReport(path="a", blank=False)
    assert report.ok
    report.blocked_requests.append(BlockedRequest(address="https://x.org", kind="img-src"))
    assert not report.ok
    assert not RunReport(path="a", blank=True).ok
    assert not RunReport(path="a", blank=False, errors=[PageError(message="m")]).ok


def test_the_json_has_the_fields_scripts_rely_on() -> None:
    report = RunReport(path="a", blank=False, fps=30.0, reacted_to=["keys"], errors=[PageError(message="m", line=3)])
    value = json.loads(json.dumps(report.to_json()))
    assert {"ok", "errors", "blocked_requests", "fps", "blank", "moved", "reacted", "scene"} <= set(value)
    assert value["reacted"] is True
    assert value["errors"][0]["line"] == 3
    assert value["errors"][0]["path"] is None


def test_the_fix_request_names_places_and_quotes_lines() -> None:
    errors = [PageError(message=f"m{i}", path="index.html", line=i) for i in range(1, 8)]
    text = fix_request(errors, {("index.html", 2): "  let x = y;  "})
    assert "- index.html:2: m2\n  `let x = y;`" in text
    assert "m5" in text
    assert "m6" not in text
    assert "and 2 more" in text
