"""Sends keys and mouse to a widget as the window system would, for checking how a page reacts."""

from PySide6.QtCore import QCoreApplication, QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QInputDevice, QKeyEvent, QMouseEvent, QPointingDevice, QWheelEvent
from PySide6.QtWidgets import QWidget

_NAMES = {"enter": "Return", "esc": "Escape", "ctrl": "Control", "spacebar": "Space"}
_TEXTS = {"Space": " ", "Return": "\r", "Enter": "\r"}


def key_code(name: str) -> Qt.Key:
    """Return the key of a name such as "Left", "ArrowLeft", "Space", "a" or "Enter".

    Raises:
        ValueError: no such key.
    """
    plain = _NAMES.get(name.removeprefix("Arrow").lower(), name.removeprefix("Arrow"))
    try:
        return Qt.Key[f"Key_{plain[:1].upper()}{plain[1:]}"]
    except KeyError:
        raise ValueError(f"There is no key “{name}”. Use names such as Left, Space, A, Enter or Escape.") from None


def _key_event(kind: QEvent.Type, name: str) -> QKeyEvent:
    code = key_code(name)
    text = _TEXTS.get(name, name.lower() if len(name) == 1 else "")
    return QKeyEvent(kind, code, Qt.KeyboardModifier.NoModifier, text)


def press_keys(target: QWidget, chord: str) -> None:
    """Press the keys of a chord such as "Right+D" and hold them."""
    for name in chord.split("+"):
        QCoreApplication.postEvent(target, _key_event(QEvent.Type.KeyPress, name))


def release_keys(target: QWidget, chord: str) -> None:
    """Release the keys of a chord."""
    for name in chord.split("+"):
        QCoreApplication.postEvent(target, _key_event(QEvent.Type.KeyRelease, name))


def _mouse(target: QWidget, kind: QEvent.Type, at: QPoint, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
    place = QPointF(at)
    screen = QPointF(target.mapToGlobal(at))
    device = QPointingDevice.primaryPointingDevice()
    event = QMouseEvent(kind, place, place, screen, button, held, Qt.KeyboardModifier.NoModifier, device)
    QCoreApplication.postEvent(target, event)


def hover(target: QWidget, places: list[QPoint]) -> None:
    """Move the mouse over places with no button down."""
    none = Qt.MouseButton.NoButton
    for place in places:
        _mouse(target, QEvent.Type.MouseMove, place, none, none)


def drag(target: QWidget, places: list[QPoint]) -> None:
    """Press the left button at the first place, move through the rest, release; one place is a click."""
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    hover(target, places[:1])
    _mouse(target, QEvent.Type.MouseButtonPress, places[0], left, left)
    for place in places[1:]:
        _mouse(target, QEvent.Type.MouseMove, place, none, left)
    _mouse(target, QEvent.Type.MouseButtonRelease, places[-1], left, none)


def turn_wheel(target: QWidget, at: QPoint, amount: int) -> None:
    """Turn the wheel by an amount in eighths of a degree; 120 is one notch, negative towards the person."""
    device = QPointingDevice.primaryPointingDevice()
    assert isinstance(device, QInputDevice)
    event = QWheelEvent(
        QPointF(at), QPointF(target.mapToGlobal(at)), QPoint(), QPoint(0, amount), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,  # noqa: FBT003
        Qt.MouseEventSource.MouseEventNotSynthesized, device,
    )  # fmt: skip
    QCoreApplication.postEvent(target, event)
