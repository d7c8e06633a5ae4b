"""The colours of values: even in lightness, readable under text, and apart for colour-blind readers, in both themes."""

import itertools

import numpy as np
import pytest
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QApplication

from app.panes.inspector.color_maps import Inks, color_lut, color_maps, contrast, luminance, lut_steps, tinted
from app.theme.theme import Mode, Theme

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear sRGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}
MODES: tuple[Mode, ...] = ("dark", "light")


def lab(color: QColor, deficiency: str) -> np.ndarray:
    """CIE Lab (D65) of a colour as a reader sees it."""
    srgb = np.array([color.redF(), color.greenF(), color.blueF()])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(DEFICIENCIES[deficiency] @ linear, 0.0, 1.0)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ seen / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_sequential_map_runs_one_way_in_lightness(qapp: QApplication, mode: Mode, deficiency: str) -> None:
    lut = color_maps(Theme(qapp, mode)).sequential
    light = np.array([lab(QColor.fromRgb(int(argb)), deficiency)[0] for argb in lut[::8]])
    steps = np.diff(light)
    assert (steps > 0).all() or (steps < 0).all()
    assert abs(light[-1] - light[0]) > 45


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_less_and_more_than_chance_are_told_apart(qapp: QApplication, mode: Mode, deficiency: str) -> None:
    lut = color_maps(Theme(qapp, mode)).diverging
    less, middle, more = (lab(QColor.fromRgb(int(lut[step])), deficiency) for step in (20, 128, 235))
    assert np.linalg.norm(less - more) > 30
    assert min(np.linalg.norm(less - middle), np.linalg.norm(more - middle)) > 25


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deficiency", ["none", "protanopia", "deuteranopia"])
def test_the_experts_hues_are_told_apart(qapp: QApplication, mode: Mode, deficiency: str) -> None:
    maps = color_maps(Theme(qapp, mode))
    colors = [lab(QColor.fromRgb(int(argb)), deficiency) for argb in (*maps.hues, maps.other)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colors, 2)) > 18


@pytest.mark.parametrize("mode", MODES)
def test_text_is_readable_on_every_fill(qapp: QApplication, mode: Mode) -> None:
    theme = Theme(qapp, mode)
    maps = color_maps(theme)
    text, panel = theme.color("text"), theme.color("panel")
    inks = Inks(*sorted((text, panel), key=luminance, reverse=True), panel)
    for argb in maps.sequential[::4]:
        assert contrast(inks.on(int(argb)), QColor.fromRgb(int(argb))) >= 3.5
    for argb in tinted(np.append(maps.hues, np.uint32(maps.other))):
        fill = QColor.fromRgba(int(argb))
        share = fill.alphaF()
        seen = QColor.fromRgbF(*(share * a + (1 - share) * b for a, b in zip(fill.getRgbF()[:3], panel.getRgbF()[:3],
                                                                             strict=True)))
        assert contrast(inks.on(int(argb)), seen) >= 4.5


def test_the_table_of_colours_runs_from_the_first_to_the_last_stop() -> None:
    lut = color_lut([QColor(0, 0, 0), QColor(255, 0, 0), QColor(255, 255, 255)])
    assert [hex(int(lut[i])) for i in (0, 255)] == ["0xff000000", "0xffffffff"]
    assert int(lut[127]) >> 16 & 0xFF > 250


def test_values_are_placed_on_the_scale_and_clamped_to_it() -> None:
    assert lut_steps(np.array([-1.0, 0.0, 1.0, 2.0, 9.0]), 0.0, 2.0).tolist() == [0, 0, 128, 255, 255]
