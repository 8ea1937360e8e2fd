"""A labels file is read as it stands there, whatever wrote it, or refused in one sentence."""

import codecs
import gzip
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.errors import UsageError
from pipelines.manifests.labels.table import LabelRows, read_labels, read_labels_file

ROWS = [("000123", "25", "male"), ("b;c.jpg", "50-59", "Woman"), ("d e.jpg", "", "f")]


def text(separator: str) -> str:
    rows = [("path", "age", "gender"), *ROWS]
    return "".join(separator.join(f'"{v}"' for v in row) + "\n" for row in rows)


def read(path: Path, content: bytes) -> LabelRows:
    path.write_bytes(content)
    return read_labels(str(path))


def is_right(read: LabelRows) -> bool:
    values = read.frame[["path", "age_years", "gender"]].astype(object)
    rows = values.where(values.notna(), None).to_numpy().tolist()
    return rows == [
        ["000123", 25.0, "male"], ["b;c.jpg", 54.5, "female"], ["d e.jpg", None, "female"],
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".CSV"])
@pytest.mark.parametrize("separator", [",", "\t", ";", "|", " "])
def test_the_header_tells_what_separates_the_columns(
    separator: str, suffix: str, tmp_path: Path
) -> None:
    assert is_right(read(tmp_path / f"l{suffix}", text(separator).encode()))


@pytest.mark.parametrize(
    ("encoding", "start"),
    [
        ("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16", b""), ("utf-16-le", b""),
        ("utf-16-be", b""), ("utf-16-be", codecs.BOM_UTF16_BE), ("utf-32", b""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("separator", [",", "\t"])
def test_the_bytes_tell_their_encoding(
    encoding: str, start: bytes, separator: str, tmp_path: Path
) -> None:
    assert is_right(read(tmp_path / "l.csv", start + text(separator).encode(encoding)))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", ",\n"),  # a comma at the end of every line
        lambda t: t.replace("\n", "\n\n"),
        lambda t: t.replace('"path"', '" Path "').replace("gender", "Gender"),
        lambda t: "sep=,\r\n" + t,  # Excel's line
        lambda t: t.replace('\n"b', ',,\n"b'),
    ],
)
def test_habits_of_spreadsheets_change_nothing(change: object, tmp_path: Path) -> None:
    assert is_right(read(tmp_path / "l.csv", change(text(",")).encode()))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "cannot be read as text"),
        (b"", "needs the columns path, and age or gender or both: it has "),
        (b"path,age,gender\n", "has a header and no rows"),
        (b"path,age,gender\na,1,m\nb,1,m,9\n", "that begins 'b' has more values than the 3"),
        (b"path,age,gender\na,25,32,m\n", "the line that begins 'a' has more values"),
        (b'path,age,gender\na,1,m\n"b,1,m\nc,1,f\n', "EOF inside string"),
        (b"path,age,age,gender\n", "has two columns of one name: path, age, age, gender"),
        (b"path\tsize\na\t1\n", "or gender or both: it has path, size, separated by tabs"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_of_labels_is_one_sentence(
    content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"labels.csv ") as error:
        read(tmp_path / "labels.csv", content)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "way_out"), [("l.xlsx", "save it as CSV"), ("l.mat", "give a .csv, .tsv or .txt")]
)
def test_other_files_are_refused(name: str, way_out: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=way_out):
        read(tmp_path / name, b"PK")


def test_a_table_may_be_packed_or_in_latin_1_or_lines_of_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_right(read(tmp_path / "l.csv.gz", gzip.compress(text(",").encode())))
    keys = ("file_name", "age", "sex")
    lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in ROWS]
    assert is_right(read(tmp_path / "metadata.jsonl", "\n".join(lines).encode()))
    assert is_right(read(tmp_path / "metadata.json", f"[{','.join(lines)}]".encode()))
    assert is_right(read(tmp_path / "l.jsonl.gz", gzip.compress("\n".join(lines).encode())))
    assert "Windows-1252" not in capsys.readouterr().err
    old = "path,age,gender\nEspaña/José.jpg,3,m\n".encode("latin-1")
    assert read(tmp_path / "l.csv", old).frame["path"].to_list() == ["España/José.jpg"]
    assert "Windows-1252" in capsys.readouterr().err
    for name, damaged in (("l.csv.gz", b"\x1f\x8b\x08"), ("l.jsonl", b"{]"), ("l.json", b"3")):
        with pytest.raises(UsageError, match=name):
            read(tmp_path / name, damaged)


@pytest.mark.parametrize("path", ["path", "file_name", "File Name", "image-path", "image", "uri"])
def test_columns_may_have_other_usual_names_and_one_label_is_enough(
    path: str, tmp_path: Path
) -> None:
    found = read(tmp_path / "l.csv", f"{path},Age\na.jpg,3\n".encode())
    assert found.frame[["path", "age_years"]].to_numpy().tolist() == [["a.jpg", 3]]
    assert found.frame["gender"].isna().all()
    assert "there are no genders; `jobs.train.heads` age learns ages alone" in str(found.told.notes)
    found = read(tmp_path / "l.csv", f"sex,{path}\nf,a.jpg\n".encode())
    assert found.frame["gender"].to_list() == ["female"]
    assert ("column" in found.told.notes[0]) and found.told.counts == {}
    both = read(tmp_path / "l.csv", b"image,path,age,years\nno,a.jpg,3,9\n").frame
    assert both[["path", "age_years"]].to_numpy().tolist() == [["a.jpg", 3]]


def test_parquet_of_any_types_is_read(tmp_path: Path) -> None:
    table = pa.table(
        {
            "path": ["000123", "b;c.jpg", "d e.jpg"],
            "age": ["25", "50-59", None],
            "gender": pa.array(["male", "Woman", "f"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "l.parquet")
    assert is_right(read_labels(str(tmp_path / "l.parquet")))
    pd.DataFrame({"path": [7], "age": [2.5], "gender": [1.0]}).to_parquet(tmp_path / "n.parquet")
    (row,) = read_labels(str(tmp_path / "n.parquet"), None, {"1": "male"}).frame.to_dict("records")
    assert (row["path"], row["age_years"], row["gender"]) == ("7", 2.5, "male")


def test_rows_that_contradict_one_another_are_left_out_where_there_is_no_listing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "l.csv"
    given.write_text("path,age,gender\na,1,m\nb,60+,m\na,1,Male\nc,2,f\nc,3,f\n")
    assert read_labels_file(str(given))["path"].to_list() == ["a", "b"]
    assert "note: ages: 1 are open ranges" in capsys.readouterr().err


def test_each_of_several_unknown_words_is_told(tmp_path: Path) -> None:
    content = b"path,age,gender\na,old,x\nb,old,y\nc,young,x\nd,3,m\n"
    told = " ".join(read(tmp_path / "l.csv", content).told.notes)
    assert "(the first: 'old', 'young'); they" in told and "(the first: 'x', 'y'); they" in told
