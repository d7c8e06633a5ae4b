"""Which kinds of program may be trained: those of which a sample of programs runs clean in `expertarium check`."""

import random
from collections.abc import Callable
from pathlib import Path

from engine.train.corpus import Corpus
from engine.train.evaluate.pages import Report, checking

PROGRAMS = 3  # of each kind, with what somebody may ask for; reports are kept, so only changed kinds are run again


def unclean_kinds(corpus: Corpus, cache: Path, tell: Callable[[str], None]) -> dict[str, str]:
    """Run a sample of every kind's programs, with keys and mouse; what was wrong, by the kinds that may not train."""
    samples = {name: [corpus.sample_of("create", random.Random(f"clean/{number}"), name).program  # noqa: S311
                      for number in range(PROGRAMS)] for name in corpus.kinds}
    with checking(cache / "pages") as runners:
        runners.used.run([program for programs in samples.values() for program in programs], tell)
        reports = {name: [report for program in programs if (report := runners.used.report(program)) is not None]
                   for name, programs in samples.items()}
    return {name: _fault(bad[0]) for name, its_reports in reports.items()
            if (bad := [report for report in its_reports if not report["ok"]])}


def _fault(report: Report) -> str:
    if report["errors"]:
        return str(report["errors"][0]["message"])
    return "it asked for what is refused" if report["blocked_requests"] else "it stayed blank"
