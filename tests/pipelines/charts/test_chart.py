"""Charts: one drawing for a page and for a file, described, themed and with tooltips."""

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from PIL import Image

from pipelines.charts import chart, marks
from pipelines.charts.chart import FEMALE, ROLES, Chart

ROOT = Path(__file__).parents[3]
SIZE = (480, 300)


def bars(axes: Any) -> None:
    tips = ["a: 3 < 4", "b: 40"]
    marks.bars(axes.bar, [0, 1], [3, 40], 0.9, tips, colour=FEMALE, name="female")
    marks.dot(axes, 1, 20, "a dot", alpha=0.4)
    axes.text(0, 10, "$5", size=11)


def made(**values: Any) -> Chart:
    return Chart("Bars", "Two bars & a dot.", ("name", "n"), [("a", 3), ("b", 40)], bars, **values)


def test_a_chart_on_a_page_is_described_and_has_its_tips_where_the_marks_are() -> None:
    root = ET.fromstring(made().svg)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "Bars. Two bars & a dot."
    assert root.attrib["viewBox"] == f"0 0 {SIZE[0]} {SIZE[1]}"
    tips = {title.text: parent for parent in root.iter() for title in parent.findall("title")}
    assert set(tips) == {"a: 3 < 4", "b: 40", "a dot"}
    assert tips["b: 40"].find("path") is not None
    texts = {e.text: e.attrib.get("style", "") for e in root.iter("text")}
    assert "font-size:11px" in texts["$5"]  # of no usual size, and no formula
    assert "font-size" not in texts["female"]


def test_a_chart_leaks_nothing_into_its_page_and_takes_its_colours_from_there() -> None:
    svg = made(x_title="x", y_title="y").svg
    colours = set(re.findall(r"(?:fill|stroke):([^;\"]+)", svg)) - {"none"}
    assert colours == {"var(--female)", "var(--line)", "var(--muted)", "var(--plain)"}
    assert not re.search(r"#[0-9a-f]{6}|<style|url\(|font-family", svg)
    ids = re.findall(r'id="([^"]+)"', svg)
    assert all(f'href="#{name}"' in svg for name in ids)  # markers, and nothing else


def test_the_page_knows_every_colour_in_light_and_in_dark() -> None:
    css = (ROOT / "pipelines" / "reporting" / "page.css").read_text()
    light, dark, _ = css.split("@media", 2)
    for role, colour in ROLES.items():
        assert f"--{role}: {colour};" in light
        assert f"--{role}: #" in dark


def test_a_png_shows_its_charts_in_rows_at_two_pixels_a_pixel() -> None:
    picture = Image.open(io.BytesIO(chart.png([made(), made(), made()], "three", columns=2)))
    assert picture.format == "PNG"
    assert picture.size == (2 * 2 * SIZE[0], 2 * (2 * (SIZE[1] + 20) + 30))
    assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


def test_numbers_are_short_and_percents_show_decimals_only_between_whole_ones() -> None:
    numbers = {0: "0", 9_999: "9,999", 12_345: "12.3k", 1_200_000: "1.2M", 3e9: "3G"}
    assert {value: marks.number(value) for value in numbers} == numbers
    percents = {0.25: "25%", 0.29: "29%", 0.005: "0.5%"}
    assert {value: marks.percent(value) for value in percents} == percents
