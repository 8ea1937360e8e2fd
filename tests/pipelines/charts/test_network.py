"""The layer graph: every layer in its place, on a page and in a file."""

import io
import re

from PIL import Image

from model.bundle import Bundle
from model.layer_graph import Layer, layers_of
from pipelines.charts.network import layer_graph, network_png

LAYERS = [
    Layer("pixels", "InputLayer", "8×8×1", ()),
    Layer("a", "Conv2D", "4", ("pixels",)),
    Layer("b", "ReLU", "", ("a",)),
    Layer("add", "Add", "", ("b", "pixels")),
    Layer("age", "Dense", "1", ("add",)),
    Layer("gender", "Dense", "1", ("add",)),
]


def test_layers_stand_below_what_they_take_and_lines_go_round_those_between() -> None:
    svg = layer_graph(LAYERS).svg
    height = {text: float(y) for y, text in re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>(\w+):', svg)}
    assert sorted(height, key=height.__getitem__)[:4] == ["pixels", "a", "b", "add"]
    assert height["age"] == height["gender"] > height["add"]
    lines = re.findall(r'd="([^"]+)" style="fill:none;stroke:var\(--muted\)"', svg)
    assert len(lines) == 6
    assert sum(line.count("L") == 3 for line in lines) == 1  # pixels to add, past a and b
    assert "<title>pixels: InputLayer 8×8×1</title>" in svg


def test_the_network_of_a_bundle_is_read_and_drawn(untrained: Bundle) -> None:
    layers = layers_of(untrained)
    assert layers[0].kind == "InputLayer"
    assert re.fullmatch(r"\d+×\d+×\d", layers[0].size)
    assert {source for layer in layers for source in layer.sources} <= {x.name for x in layers}
    chart = layer_graph(layers)
    assert chart.rows == [(layer.name, layer.kind) for layer in layers]
    picture = Image.open(io.BytesIO(network_png(layers, "demo: layers")))
    assert picture.size == (2 * chart.size[0], 2 * (chart.size[1] + 50))
