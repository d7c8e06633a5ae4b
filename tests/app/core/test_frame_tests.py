import numpy as np

from app.core.frame_tests import changed_pixels, differ, is_blank


def frame(value: int = 255) -> np.ndarray:
    return np.full((50, 80, 4), value, dtype=np.uint8)


def test_one_colour_is_blank_and_a_small_thing_on_it_is_not() -> None:
    picture = frame()
    assert is_blank(picture)
    picture[:2, :5] = 0
    assert is_blank(picture)  # ten pixels: a cursor, not content
    picture[:5, :8] = 0
    assert not is_blank(picture)


def test_a_faint_change_is_none() -> None:
    assert not differ(frame(100), frame(105))
    assert differ(frame(100), frame(140))


def test_changed_pixels_are_counted() -> None:
    other = frame()
    other[10, :7, 1] = 0
    assert changed_pixels(frame(), other) == 7
    assert differ(frame(), frame()[:40])
