"""The theme: both palettes complete, a live switch that reaches widgets, icons in its colours."""

import re

import pytest
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QApplication, QToolButton

from app.resources import resource_path
from app.theme.fonts import mono_font
from app.theme.palette import load_palette, ramp
from app.theme.style_sheet import style_sheet
from app.theme.syntax import highlight
from app.theme.theme import Theme


def luminance(color: QColor) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    return 0.2126 * linear(color.redF()) + 0.7152 * linear(color.greenF()) + 0.0722 * linear(color.blueF())


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(QColor(first)), luminance(QColor(second))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_both_themes_have_the_same_roles():
    dark, light = load_palette("dark"), load_palette("light")
    assert dark.colors.keys() == light.colors.keys()
    assert dark.syntax.keys() == light.syntax.keys()
    assert len(dark.expert_hues) == len(light.expert_hues) == 8


@pytest.mark.parametrize("name", ["dark", "light"])
def test_text_can_be_read(name):
    colors = load_palette(name).colors
    for ground in ("background", "panel", "raised", "bubble", "code"):
        assert contrast(colors["text"], colors[ground]) >= 7, ground
        assert contrast(colors["dim"], colors[ground]) >= 4.5, ground
    assert contrast(colors["on_accent"], colors["accent"]) >= 4.5


@pytest.mark.parametrize("name", ["dark", "light"])
def test_the_heat_map_reads_as_less_to_more_in_grey(name):
    palette = load_palette(name)
    greys = [luminance(ramp(palette.heat_stops, step / 20)) for step in range(21)]
    rising = sorted(greys) if palette.is_dark else sorted(greys, reverse=True)
    assert greys == rising
    assert len(set(greys)) == len(greys)


@pytest.mark.parametrize("name", ["dark", "light"])
def test_the_style_sheet_has_no_place_left_open(name):
    sheet = style_sheet(load_palette(name))
    assert "@" not in re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL)
    for file in re.findall(r"url\((.*?)\)", sheet):
        assert resource_path("themes", file.rsplit("/", 1)[1]).is_file()


def test_switching_changes_palette_and_tells(qtbot, qapp: QApplication, theme: Theme):
    dark = theme.color("background")
    with qtbot.waitSignal(theme.theme_changed):
        theme.set_mode("light")
    assert theme.color("background") != dark
    assert qapp.palette().window().color() == theme.color("background")
    with qtbot.assertNotEmitted(theme.theme_changed):
        theme.set_mode("light")


def test_icons_follow_the_theme(qtbot, theme: Theme):
    button = QToolButton()
    qtbot.addWidget(button)
    theme.set_icon(button, "plus", "text")

    def stroke() -> QColor:
        image: QImage = button.icon().pixmap(16, 16).toImage()
        return image.pixelColor(8 * image.width() // 16, 8 * image.height() // 16)

    assert stroke().lightness() > 200
    theme.set_mode("light")
    assert stroke().lightness() < 80
    assert theme.icon("plus", "text").cacheKey() == theme.icon("plus", "text").cacheKey()
    assert theme.icon("plus", "text").cacheKey() != theme.icon("plus", "dim").cacheKey()


def test_every_icon_takes_its_colour_from_the_theme():
    files = list(resource_path("icons").glob("*.svg"))
    assert len(files) > 40
    for file in files:
        text = file.read_text()
        assert "currentColor" in text, file.name
        assert "#" not in text, file.name


def test_the_code_font_is_fixed_pitch_and_resizes_live(qtbot, theme: Theme):
    metrics = __import__("PySide6.QtGui", fromlist=["QFontMetrics"]).QFontMetrics(mono_font(20))
    assert metrics.horizontalAdvance("iiii") == metrics.horizontalAdvance("MMMM")
    with qtbot.waitSignal(theme.theme_changed):
        theme.set_code_size(17)
    assert theme.mono().pixelSize() == 17


def test_highlighting_gives_spans_per_line_in_utf16_units():
    lines = highlight("const a = 1;\nlet s = '😀' + f(2);", "javascript")
    assert (0, 5, "keyword") in lines[0]
    assert (10, 1, "number") in lines[0]
    string = next(span for span in lines[1] if span[2] == "string")
    assert string == (8, 4, "string")  # the emoji takes two units
    assert (15, 1, "function") in lines[1]


def test_highlighting_a_page_whose_script_is_still_being_written():
    lines = highlight("<script>\nconst a = 1", "html")
    assert len(lines) == 2
    assert (0, 5, "keyword") in lines[1]
    assert max(start + length for start, length, _ in lines[1]) <= len("const a = 1")


def test_an_unknown_language_is_left_plain():
    assert highlight("a\nb", "no-such-language") == [[], []]
