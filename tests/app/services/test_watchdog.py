"""The watchdog and the end of its page. What it does to pages that hang is tested with the runner."""

from PySide6.QtCore import QCoreApplication, QEvent, QObject
from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineProfile
from pytestqt.qtbot import QtBot

from app.services.watchdog import TICK_MS, Watchdog, WatchdogLimits


def test_a_watch_that_starts_while_its_page_goes_ends_with_it(qtbot: QtBot) -> None:
    owner, profile = QObject(), QWebEngineProfile()
    page = QWebEnginePage(profile)
    watchdog = Watchdog(page, WatchdogLimits(), owner)
    page.deleteLater()
    watchdog.start()  # as a load does that ends after the page was told to go
    QCoreApplication.sendPostedEvents(page, QEvent.Type.DeferredDelete.value)
    qtbot.wait(3 * TICK_MS)  # a tick now would reach for the page: pytest-qt fails on errors in slots
    profile.deleteLater()
