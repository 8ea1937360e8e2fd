"""docs/grafana/facemill.json can be imported and asks for metrics that exist."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BOARD: dict[str, Any] = json.loads((ROOT / "docs" / "grafana" / "facemill.json").read_text())
QUERIES = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


def test_it_asks_for_every_metric_that_scoring_counts_and_for_no_other_of_ours() -> None:
    source = (ROOT / "pipelines" / "scoring" / "counters.py").read_text()
    counted = set(re.findall(r'"(\w+_total)"', source))
    asked = set(re.findall(r"ray_facemill_(\w+)", " ".join(QUERIES)))
    assert asked == counted


def test_what_it_asks_of_ray_itself_this_ray_reports() -> None:
    import ray

    reporter = Path(ray.__file__).parent / "dashboard/modules/reporter/reporter_agent.py"
    reported = reporter.read_text()
    for query in QUERIES:
        for name in re.findall(r"ray_((?:node|cluster)_\w+)", query):
            assert f'"{name}"' in reported


def test_it_has_what_grafana_s_import_wants() -> None:
    (source,) = BOARD["__inputs"]
    assert (source["type"], source["pluginId"]) == ("datasource", "prometheus")
    assert BOARD["id"] is None  # else the import would overwrite a board of that number
    assert BOARD["title"] and BOARD["uid"] and BOARD["schemaVersion"] >= 36
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in BOARD["panels"]:
        assert panel["datasource"]["uid"] == "${DS_PROMETHEUS}"
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_grafana_s_own_types_know_every_field_of_it() -> None:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    read = json.loads(JSONEncoder().encode(Dashboard.from_json(BOARD)))
    import_only = {"__inputs", "__requires", "id"}
    assert _lost({k: v for k, v in BOARD.items() if k not in import_only}, read) == []
    misspelt = {**BOARD, "panels": [{**BOARD["panels"][0], "gridPosition": {}}]}
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt)))
    assert _lost(misspelt["panels"], read["panels"]) == ["[0].gridPosition"]


def _lost(given: Any, read: Any, path: str = "") -> list[str]:
    """Where what Grafana read differs from what was given; it may add defaults."""
    if isinstance(given, dict) and isinstance(read, dict):
        missing = [f"{path}.{key}" for key in given if key not in read]
        kept = (key for key in given if key in read)
        return missing + [
            at for key in kept for at in _lost(given[key], read[key], f"{path}.{key}")
        ]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        pairs = enumerate(zip(given, read, strict=True))
        return [at for i, (a, b) in pairs for at in _lost(a, b, f"{path}[{i}]")]
    return [] if given == read else [path]
