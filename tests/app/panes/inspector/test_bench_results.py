"""What the expert bench shows of two answers."""

from pytestqt.qtbot import QtBot

from app.core.bench_comparison import Comparison
from app.panes.inspector.bench_results import BenchResults
from app.theme.theme import Theme


def test_a_long_error_takes_no_room_from_the_other_answer(qtbot: QtBot, theme: Theme) -> None:
    results = BenchResults(theme, make_runner=lambda: None)
    qtbot.addWidget(results)
    results.resize(900, 300)
    results.show_comparison(Comparison(
        words="mute expert 3 in layer 1", before_text="a", after_text="b", before_folder=None, after_folder=None,
        shifts=(), tokens=(1, 1),
    ))  # fmt: skip
    error = "index.html:65: Uncaught SyntaxError: Identifier 'trees' has already been declared. " * 3
    results.after.state.set_full_text(error)
    results.show()
    assert abs(results.before.width() - results.after.width()) <= 1
    assert results.after.state.toolTip() == error.strip()
