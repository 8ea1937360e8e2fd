"""A CSV that holds its pictures as numbers, as Kaggle has UTKFace: pictures and labels in one."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import ManifestError
from model.preprocessing import InputSpec, decode_image
from pipelines import storage
from pipelines.storage.fetching import ReadFailure, fetch_all
from tests.archives import rows_of
from tests.pipelines.manifests.test_ingest import ingested, rejects

HEADER = ["age", "ethnicity", "gender", "img_name", "pixels"]
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)


def table(pixels: list[str], header: list[str] = HEADER) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for number, values in enumerate(pixels):
        row = {"age": 20 + number, "ethnicity": number % 5, "gender": number % 2,
               "img_name": f"2016{number}.jpg.chip.jpg", "pixels": values}  # fmt: skip
        writer.writerow([row[name] for name in header])
    return ("\ufeff" + text.getvalue()).encode()


def numbers(picture: np.ndarray) -> str:
    return " ".join(map(str, picture.ravel()))


def test_rows_are_pictures_in_any_order(place: str) -> None:
    uri = f"{place}/age_gender.csv"
    storage.write_bytes(uri, table([numbers(picture) for picture in PICTURES]))
    rows = rows_of(uri)
    assert [row["uri"] for row in rows] == [f"{uri}#{row}" for row in range(5)]
    for order in (rows, rows[::-1], [rows[3]]):
        for row, data in zip(order, fetch_all(order), strict=True):
            assert isinstance(data, bytes)
            shown = np.asarray(Image.open(io.BytesIO(data)))
            np.testing.assert_array_equal(shown, PICTURES[row["offset"]])
            assert decode_image(data, InputSpec(48, 48)).pixels.shape == (48, 48, 1)


@pytest.mark.parametrize("pixels", ["", "1 2 3", "1 2 3 256", "1 2 3 x", "-1 2 3 4", "9" * 30])
def test_what_is_no_square_of_bytes_costs_its_row(tmp_path: Path, pixels: str) -> None:
    uri = f"{tmp_path}/faces.csv"
    Path(uri).write_bytes(table([numbers(PICTURES[0]), pixels, numbers(PICTURES[1])]))
    first, lost, last = fetch_all(rows_of(uri))
    assert isinstance(first, bytes) and isinstance(last, bytes)
    assert isinstance(lost, ReadFailure)
    assert lost.reason == "bad_member"


def test_a_row_that_is_gone_is_not_found(tmp_path: Path) -> None:
    uri = f"{tmp_path}/faces.csv"
    Path(uri).write_bytes(table([numbers(picture) for picture in PICTURES]))
    rows = rows_of(uri)
    Path(uri).write_bytes(table([numbers(picture) for picture in PICTURES[:2]]))
    outcomes = list(fetch_all(rows))
    assert [isinstance(outcome, bytes) for outcome in outcomes] == [True, True, False, False, False]


@pytest.mark.usefixtures("ray_session")
def test_its_labels_are_utkface_s(tmp_path: Path) -> None:
    uri = f"{tmp_path}/age_gender.csv"
    Path(uri).write_bytes(table([numbers(picture) for picture in PICTURES]))
    result = ingested(Path(uri))
    assert rejects(result) == {}
    rows = result.table.sort_by("uri").select(["uri", "age_years", "gender", "race"]).to_pylist()
    assert rows == [
        {"uri": f"{uri}#{n}", "age_years": 20 + n, "gender": ["male", "female"][n % 2],
         "race": ["white", "black", "asian", "indian", "other"][n]}
        for n in range(5)
    ]  # fmt: skip


@pytest.mark.usefixtures("ray_session")
def test_of_another_header_codes_need_the_option(tmp_path: Path) -> None:
    uri = f"{tmp_path}/faces.csv"
    Path(uri).write_bytes(table([numbers(picture) for picture in PICTURES], HEADER[:1] + HEADER[2:3]
                                + HEADER[4:]))  # fmt: skip
    with pytest.raises(ManifestError, match="codes gender by numbers"):
        ingested(Path(uri))
    result = ingested(Path(uri), label_format="sidecar", gender_codes="0=female,1=male")
    assert result.table.sort_by("uri")["gender"].to_pylist()[:2] == ["female", "male"]
