"""The report: right figures, one file, readable by people, browsers and screen readers."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from model.bundle import Bundle
from model.errors import UsageError
from model.heads import RACE
from pipelines.bundles.opening import open_bundle
from pipelines.manifests import manifest
from pipelines.predictions import prediction_files
from pipelines.reporting import label_join
from pipelines.reporting.contact_sheet import Sheet, Thumbnail
from pipelines.reporting.figures import as_json, collect
from pipelines.reporting.headline import tiles, warnings
from pipelines.reporting.model_card import write_card
from pipelines.reporting.options import ReportOptions
from pipelines.reporting.page import as_table, render
from pipelines.storage import tables
from tests import browser
from tests.predictions import random_predictions, write_predictions

WIDTHS = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"))


def labels_for(predictions: pa.Table, seed: int = 0, error: float = 6.0) -> pa.Table:
    """A manifest whose ages lie around the predicted ones."""
    rng = np.random.default_rng(seed)
    rows: Any = predictions.to_pandas()
    truth = np.nan_to_num(rows["age_years"], nan=30) + rng.normal(0, error, len(rows))
    rows["age_years"] = truth.clip(0, 116).round().astype(np.float32)
    flip = rng.random(len(rows)) < 0.1
    other = rows["gender"].map({"male": "female", "female": "male"})
    rows["gender"] = np.where(flip, other, rows["gender"].astype(object))
    rows["race"] = rng.choice(["white", "black", "asian"], len(rows))
    rows["split"] = "test"
    return manifest.to_table(rows[["uri", "age_years", "gender", "race", "split"]])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scoring output of 1,500 made-up rows, its quarantine, run.json and labels."""
    folder = tmp_path_factory.mktemp("run")
    made = random_predictions(0, 1500)
    write_predictions(folder, made)
    bad = pa.table({"uri": ["/x.jpg"] * 3, "stage": ["decode"] * 3, "error": ["empty"] * 3})
    tables.write_table(str(folder / "quarantine" / "shard-00000.parquet"), bad)
    record = {
        "images": "/faces", "bundle": "demo<b>", "bundle_id": "0123456789abcdef", "seconds": 10.0,
        "images_per_s": 321.0,
        "coverage": 0.9, "finished_at": "2026-11-23T12:00:00Z", "versions": {"ray": "2.60"},
        "quarantine_reasons": {"decode: empty": 3},
    }  # fmt: skip
    tables.write_json(str(folder / "run.json"), record)
    tables.write_json(str(folder / "job.json"), record)
    tables.write_table(str(folder / "labels.parquet"), labels_for(made))
    return folder


@pytest.fixture(scope="module")
def figures(run: Path) -> dict[str, Any]:
    options = ReportOptions(str(run), str(run / "labels.parquet"), reference=str(run), by="/(.)/")
    return collect(options)


def test_figures_are_those_of_the_rows(run: Path, figures: dict[str, Any]) -> None:
    assert figures["counts"]["scored"] == 1500
    assert figures["counts"]["quarantine_reasons"] == {"decode: empty": 3}
    assert tiles(figures)[0] == ("images scored", "1,500", "321 images/s")  # the run's own speed
    quality = figures["quality"]
    rows = label_join.join_labels(
        prediction_files.find_predictions(str(run)), str(run / "labels.parquet")
    ).rows
    error = (rows["age_years"] - rows["true_age_years"]).abs()
    assert quality["metrics"]["age_mae"]["value"] == pytest.approx(error.mean())
    assert quality["metrics"]["gender_accuracy"]["value"] == pytest.approx(0.9, abs=0.03)
    inside = rows["true_age_years"].between(rows["age_low_years"], rows["age_high_years"])
    inside = inside[rows["age_low_years"].notna() & rows["true_age_years"].notna()]
    assert quality["metrics"]["age_coverage"]["value"] == pytest.approx(inside.mean())
    assert sum(cell["images"] for cell in quality["subgroups"]) == 1500
    small = [cell["small"] for cell in quality["subgroups"]]
    assert small == sorted(small)
    assert {row["light"] for row in figures["drift"]["columns"]} == {"green"}
    assert sum(map(sum, quality["density"])) == quality["metrics"]["age_mae"]["images"]


def test_json_and_parquet_hold_what_the_page_shows(figures: dict[str, Any], tmp_path: Path) -> None:
    tables.write_json(str(tmp_path / "r.json"), as_json(figures))
    assert "NaN" not in (tmp_path / "r.json").read_text()
    again = tables.read_json(str(tmp_path / "r.json"))
    assert again["quality"]["metrics"] == as_json(figures)["quality"]["metrics"]
    flat: Any = as_table(figures).to_pandas()
    assert {"people", "doubt", "quality", "subgroups", "drift", "lineage"} <= set(flat["section"])


class Page(HTMLParser):
    """Tags with their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_one_file_described_for_everybody(figures: dict[str, Any]) -> None:
    text = render(figures)
    page = Page(text)
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            assert not re.match(r"(https?:)?//", value), (tag, value)
        assert tag not in ("script", "iframe")
    assert "url(" not in text
    pictures = [a for tag, a in page.tags if tag == "svg"]
    assert len(pictures) >= 12
    assert all(a["role"] == "img" and len(a["aria-label"] or "") > 20 for a in pictures)
    figures_shown = sum(tag == "figure" for tag, _ in page.tags)
    assert figures_shown == len(pictures)
    assert len([tag for tag, _ in page.tags if tag == "title"]) > 300  # tooltips of marks
    assert text.count("<details>") >= figures_shown  # a table behind each chart
    assert dict(page.tags)["html"] == {"lang": "en"}
    assert "demo&lt;b&gt;" in text  # escaped
    assert "demo<b>" not in text
    assert "<img" not in text  # no face unless asked for


def test_mixed_bundles_are_refused_or_shown(tmp_path: Path) -> None:
    other = random_predictions(1, 50, bundle_id=["f" * 16] * 50)
    output = write_predictions(tmp_path, random_predictions(0, 100), other)
    with pytest.raises(UsageError) as error:
        collect(ReportOptions(output))
    assert str(error.value) == (
        f"`predictions` {output} mixes 2 bundles: 0123456789abcdef (100 rows), {'f' * 16} "
        "(50 rows); their figures do not compare: report on each alone, or give `allow_mixed`"
    )
    allowed = collect(ReportOptions(output, allow_mixed=True))
    assert warnings(allowed)[0].startswith("Rows of 2 bundles are mixed here: ")
    assert "Rows of 2 bundles are mixed here" in render(allowed)


def test_nan_is_told_and_all_nan_is_refused(tmp_path: Path) -> None:
    ages = np.full(200, 30, dtype=np.float32)
    ages[:7] = np.nan
    some = write_predictions(
        tmp_path / "some", random_predictions(0, 200, age_years=pa.array(ages))
    )
    told = warnings(collect(ReportOptions(some)))
    assert told == ["7 rows have NaN in age_years: counted here, in no other figure."]
    nothing = pa.array(np.full(20, np.nan, dtype=np.float32))
    all_nan = random_predictions(0, 20, age_years=nothing, p_female=nothing)
    output = write_predictions(tmp_path / "all", all_nan)
    with pytest.raises(UsageError, match="no row has a usable age or gender, all are null or NaN"):
        collect(ReportOptions(output))


def test_labels_that_match_no_row_show_one_of_each_side(tmp_path: Path) -> None:
    made = random_predictions(0, 30)
    output = write_predictions(tmp_path, made)
    strangers = labels_for(made).set_column(0, "uri", pa.array([f"/z/{i}.png" for i in range(30)]))
    tables.write_table(str(tmp_path / "l.parquet"), strangers)
    with pytest.raises(UsageError) as error:
        collect(ReportOptions(output, str(tmp_path / "l.parquet")))
    assert str(error.value).startswith(
        f"`labels` {tmp_path / 'l.parquet'}: none of its 30 labelled rows is among the "
        "predictions; labels name /z/0.png, predictions /faces/"
    )


def test_a_csv_matches_by_base_name(tmp_path: Path) -> None:
    made = random_predictions(0, 40)
    output = write_predictions(tmp_path, made)
    lines = [f"{i:06d}.jpg,{20 + i},female" for i in range(25)]
    (tmp_path / "l.csv").write_text("\n".join(["path,age,gender", *lines]))
    made = collect(ReportOptions(output, str(tmp_path / "l.csv")))
    assert made["quality"]["labelled"] == 25
    assert render(made)


def test_labels_match_below_the_images_of_the_run_and_by_no_ambiguous_name(tmp_path: Path) -> None:
    made = random_predictions(0, 4)
    uris = ["/faces/a/1.jpg", "/faces/b/1.jpg", "/faces/a/2.jpg", "/faces/c/3.jpg"]
    write_predictions(tmp_path, made.set_column(0, made.schema.field("uri"), pa.array(uris)))
    tables.write_json(str(tmp_path / "job.json"), {"images": "/faces"})
    source = prediction_files.find_predictions(str(tmp_path))

    def matched(*paths: str) -> list[str]:
        (tmp_path / "labels.csv").write_text(
            "path,age,gender\n" + "".join(f"{path},30,male\n" for path in paths)
        )
        joined = label_join.join_labels(source, str(tmp_path / "labels.csv"))
        assert joined.matched == len(joined.rows)
        return sorted(joined.rows["uri"])

    assert matched("a/1.jpg", "c/3.jpg") == ["/faces/a/1.jpg", "/faces/c/3.jpg"]
    assert matched("1.jpg", "2.jpg") == ["/faces/a/2.jpg"]  # which 1.jpg is meant, nobody knows
    with pytest.raises(UsageError, match="is among the predictions"):
        matched("1.jpg")


def test_many_labelled_rows_are_sampled_and_it_says_so(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_join, "MAX_ROWS", 500)
    made = collect(ReportOptions(str(run), str(run / "labels.parquet")))
    assert made["quality"]["labelled"] == 1500
    assert made["quality"]["measured_on"] == pytest.approx(375, rel=0.25)
    assert any("labelled images, chosen by a hash of their uri" in t for t in warnings(made))


def test_a_shifted_folder_lights_red_and_is_drawn(run: Path, tmp_path: Path) -> None:
    dark = random_predictions(5, 800, brightness=np.random.default_rng(0).uniform(0, 60, 800))
    output = write_predictions(tmp_path, dark)
    made = collect(ReportOptions(output, reference=str(run)))
    lights = {row["name"]: row["light"] for row in made["drift"]["columns"]}
    assert lights.pop("brightness") == "red"
    assert set(lights.values()) == {"green"}
    assert "Drift of brightness" in render(made)


def test_a_report_without_any_extra_still_renders(tmp_path: Path) -> None:
    bare = random_predictions(2, 20).select(["uri", "age_years", "bundle_id"])
    text = render(collect(ReportOptions(write_predictions(tmp_path, bare))))
    assert "This bundle has no calibration" in text


def test_the_model_card_tells_what_it_is_not_for(untrained: Bundle, tmp_path: Path) -> None:
    markdown, html = write_card(untrained, str(tmp_path))
    for uri in (markdown, html):
        text = Path(uri).read_text()
        assert "Not for age gating" in text
        assert untrained.id in text
        assert "Conv2D" in text
    assert "Layer graph" in Path(html).read_text()


def test_the_model_card_says_what_was_learned_from(untrained: Bundle, tmp_path: Path) -> None:
    def said(bundle: Bundle, labels: str | None = None) -> str:
        record = {**bundle.record, "training": {"labels": labels}}
        own = dataclasses.replace(bundle, name="own", record=record)
        return Path(write_card(own, str(tmp_path))[0]).read_text()

    assert "race" not in said(untrained).lower().split("## network")[0]
    assert "an auxiliary task while it was trained" in said(open_bundle(None))
    kept = dataclasses.replace(untrained, heads=(*untrained.heads, RACE))
    assert "Predicting them of a person is not a use we support" in said(kept)
    own, utkface = said(untrained), said(untrained, "UTKFace")
    assert "are not UTKFace's" in own and "susanqq.github.io/UTKFace" not in own
    assert "In 177 of 309 groups" in utkface and "susanqq.github.io/UTKFace" in utkface


@pytest.mark.timeout(120)
@pytest.mark.skipif(browser.missing() is not None, reason=str(browser.missing()))
def test_pages_fit_in_a_browser_without_a_complaint(
    figures: dict[str, Any], untrained: Bundle, tmp_path: Path
) -> None:
    """The screenshots stay in FACEMILL_SCREENSHOTS, if that names a folder."""
    import os

    report = tmp_path / "report.html"
    face = Thumbnail(
        "data:image/gif;base64,R0lGODlhAQABAAAAACw=", "a face", "male, 98% (1_0_2017010.jpg)"
    )
    report.write_text(render(figures, [Sheet("Most certain", [face] * 14)]))
    card = Path(write_card(untrained, str(tmp_path))[1])
    keep = os.environ.get("FACEMILL_SCREENSHOTS")
    with browser.chromium(tmp_path / "profile") as driver:
        for page in (report, card):
            for width, scheme in WIDTHS:
                seen = browser.visit(driver, page, width, scheme)
                assert seen["console"] == []
                assert seen["overflow"] == []
                assert seen["scroll_width"] <= width
                assert len(seen["png"]) > 20_000
                if keep:
                    Path(keep, f"{page.stem}-{width}-{scheme}.png").write_bytes(seen["png"])


def test_labels_that_are_ranges_are_in_no_error_in_years(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = random_predictions(0, 3)
    uris = [f"/faces/{number}.jpg" for number in range(3)]
    write_predictions(tmp_path, made.set_column(0, made.schema.field("uri"), pa.array(uris)))
    (tmp_path / "labels.csv").write_text(
        "path,age,gender\n0.jpg,20-29,male\n1.jpg,30,female\n2.jpg,60+,\n"
    )
    source = prediction_files.find_predictions(str(tmp_path))
    rows = label_join.join_labels(source, str(tmp_path / "labels.csv")).rows.set_index("uri")
    assert rows["true_age_years"].dropna().to_dict() == {"/faces/1.jpg": 30.0}
    assert sorted(rows["true_gender"].dropna()) == ["female", "male"]
    assert rows["true_age_low_years"].dropna().to_dict() == {
        "/faces/0.jpg": 20.0, "/faces/2.jpg": 60.0
    }  # fmt: skip
    expected = "note: 2 labels are age ranges, excluded from errors in years"
    assert expected in capsys.readouterr().err
