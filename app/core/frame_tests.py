"""Tests on pictures of a page: is it blank, do two of them differ. Pictures are uint8 arrays of [height, width, 4]."""

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

MIN_PIXELS = 20  # fewer changed pixels than this are noise, not content
MIN_STEP = 10  # of 255: a smaller change of a channel can't be seen


def is_blank(frame: Frame) -> bool:
    """Whether next to all pixels have one colour."""
    flat_N4 = frame.reshape(-1, 4)
    packed_N = np.ascontiguousarray(flat_N4).view(np.uint32).ravel()
    values, counts = np.unique(packed_N, return_counts=True)
    common_4 = values[np.argmax(counts) :][:1].view(np.uint8)
    return _count_changed(flat_N4, common_4) < MIN_PIXELS


def changed_pixels(first: Frame, second: Frame) -> int:
    """Return how many pixels visibly differ; pictures of different size differ everywhere."""
    if first.shape != second.shape:
        return max(first.size, second.size) // 4
    return _count_changed(first, second)


def differ(first: Frame, second: Frame) -> bool:
    """Whether two pictures visibly differ."""
    return changed_pixels(first, second) >= MIN_PIXELS


def _count_changed(first: Frame, second: Frame) -> int:
    step = np.abs(first.astype(np.int16) - second.astype(np.int16))
    return int(np.count_nonzero(step.max(axis=-1) > MIN_STEP))
