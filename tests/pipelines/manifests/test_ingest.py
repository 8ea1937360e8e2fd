"""Ingest: every file is in the manifest or the rejects, and an image's split follows its bytes."""

import dataclasses
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import ray

from model.errors import ManifestError, StorageError, UsageError
from pipelines import storage
from pipelines.manifests import ingest
from pipelines.manifests.ingest import Ingested, write_ingested
from pipelines.manifests.manifest import labelled, read_manifest
from pipelines.manifests.matching import NO_FACE
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources import images
from pipelines.storage import local
from pipelines.storage.archives import read_member

pytestmark = pytest.mark.usefixtures("ray_session")


def ingested(images: object, **options: Any) -> Ingested:
    return ingest.ingest(IngestOptions(str(images), **options))


def frame(result: Ingested) -> pd.DataFrame:
    table: Any = result.table.to_pandas()
    table["name"] = table["uri"].str.replace(r"^.*(/|\.tar#)", "", regex=True)
    return table.set_index("name")


def splits(result: Ingested) -> dict[str, str]:
    return {row["content_hash"]: row["split"] for row in result.table.to_pylist()}


def rejects(result: Ingested) -> dict[str, tuple[str, str]]:
    rows = result.rejects.to_pylist()
    return {row["uri"].rpartition("/")[2]: (row["stage"], row["reason"]) for row in rows}


@pytest.fixture(scope="module")
def of_faces(faces_dir: Path, ray_session: None) -> Ingested:
    return ingested(faces_dir)


@pytest.fixture
def few(faces_dir: Path, tmp_path: Path) -> Path:
    """A folder of our own with six of the faces, two of them one level down."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for number, path in enumerate(sorted(faces_dir.iterdir())[:6]):
        shutil.copy(path, folder / "more" / path.name if number > 3 else folder)
    return folder


def test_labels_come_from_the_file_names(of_faces: Ingested, faces_dir: Path) -> None:
    table = frame(of_faces)
    assert sorted(table.index) == sorted(path.name for path in faces_dir.iterdir())
    for name, row in table.iterrows():
        age, gender = str(name).split("_")[:2]
        assert (row["age_years"], row["gender"]) == (float(age), ("male", "female")[int(gender)])
        assert row["bytes"] == (faces_dir / str(name)).stat().st_size
    assert of_faces.counts["splits"].keys() == {"train", "val", "test"}
    assert min(of_faces.counts["splits"].values()) > 0


def test_every_file_is_in_the_manifest_or_in_the_rejects_with_a_reason(few: Path) -> None:
    (few / "notes.txt").write_text("x")
    (few / "IMG_1.jpg").write_bytes(b"no UTKFace name")
    (few / "9_1_1_20170116184024662.jpg").write_bytes(b"")
    (few / ".hidden.jpg").write_bytes(b"x")
    result = ingested(few)
    assert rejects(result) == {
        "notes.txt": ("list", "the name has no image suffix"),
        "IMG_1.jpg": ("label", "the name is not [age]_[gender]_[race]_[datetime].jpg"),
        "9_1_1_20170116184024662.jpg": ("read", "the file has no bytes"),
    }
    counts = result.counts
    assert (counts["files"], counts["manifest"], counts["rejects"]) == (9, 6, 3)


def test_identical_files_share_a_group_and_a_split_and_contradictions_are_flagged(
    few: Path,
) -> None:
    first, second = sorted(few.glob("*.jpg"))[:2]
    (few / "more/5_0_0_20170116184024000.jpg").write_bytes(first.read_bytes())
    shutil.copy(second, few / "more" / second.name)
    result = ingested(few)
    rows: Any = result.table.to_pandas()
    groups = rows.groupby("content_hash")
    assert sorted(groups.size()) == [1, 1, 1, 1, 2, 2]
    assert (groups["split"].nunique() == 1).all()
    assert rows["duplicate_group"].nunique() == 2
    assert sorted(rows.loc[rows["label_conflict"], "uri"]) == sorted(
        [str(first), str(few / "more/5_0_0_20170116184024000.jpg")]
    )
    counts = result.counts
    assert (counts["duplicate_groups"], counts["duplicate_files"]) == (2, 4)
    assert counts["conflicting_groups"] == 1
    assert labelled(result.table, None, "drop").num_rows == 6
    ages = labelled(result.table, None, "median").to_pandas().groupby("content_hash")["age_years"]
    assert (ages.nunique() == 1).all()


def test_grown_folder_moves_no_image_to_another_split(few: Path, of_faces: Ingested) -> None:
    small, large = splits(ingested(few)), splits(of_faces)
    assert len(small) == 6
    assert small == {name: large[name] for name in small}


def test_tar_gives_the_hashes_and_splits_of_the_folder(
    faces_dir: Path, of_faces: Ingested, tmp_path: Path
) -> None:
    archive = tmp_path / "faces.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(faces_dir, "deep/faces")
    result = ingested(archive)
    assert splits(result) == splits(of_faces)
    row = result.table.slice(0, 1).to_pylist()[0]
    assert row["uri"].startswith(f"{archive}#deep/faces/")
    one = read_member(row["uri"], row["offset"], row["bytes"])
    assert one == (faces_dir / row["uri"].rpartition("/")[2]).read_bytes()


@pytest.mark.parametrize("kind", ["compressed", "text"])
def test_file_that_is_no_plain_tar_is_refused(few: Path, tmp_path: Path, kind: str) -> None:
    archive = tmp_path / "faces.tar"
    if kind == "text":
        archive.write_text("not a tar " * 100)
    else:
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(few)
    message = rf"^{re.escape(str(archive))} is not an uncompressed tar \(.+\): unpack it, or "
    with pytest.raises(StorageError, match=message + "repack it with tar -cf$"):
        ingested(archive)


def test_etag_reads_no_bytes(few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ingested(few, hash="etag").table["content_hash"].null_count == 6
    listed = pa.table({"uri": [str(path) for path in few.glob("*.jpg")]})
    listed = listed.append_column("bytes", pa.nulls(4)).append_column("offset", pa.nulls(4))

    def read(uri: str, *_: object) -> bytes:
        raise AssertionError(f"{uri} was read")

    monkeypatch.setattr(local, "read_up_to", read)
    with pytest.raises(AssertionError, match="was read"):
        ingest.read_images(listed, with_hash=True)


def test_one_flat_folder_is_hashed_in_parallel_blocks() -> None:
    """Were the blocks fused, one flat folder would be hashed by one task."""
    blocks = [pa.table({"number": [number]}) for number in range(6)]

    def task_of(block: pa.Table) -> pa.Table:
        return pa.table({"task": [ray.get_runtime_context().get_task_id()]})

    assert len({t["task"][0].as_py() for t in ingest.in_tasks(blocks, task_of, {})}) == 6


def labels_csv(tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    path = tmp_path / "labels.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return str(path)


def test_labels_file_matches_by_uri_relative_path_and_base_name(few: Path, tmp_path: Path) -> None:
    top, deep = sorted(few.glob("*.jpg")), sorted((few / "more").glob("*.jpg"))
    given = labels_csv(
        tmp_path,
        [
            {"path": str(top[0]), "age": 1, "gender": "female", "race": "asian"},
            {"path": f"more/{deep[0].name}", "age": 2.5, "gender": "boy", "race": 4},
            {"path": deep[1].name, "age": 3, "gender": "M", "race": ""},
            {"path": top[1].name, "age": "", "gender": "f", "race": ""},
            {"path": top[2].name, "age": 300, "gender": "?", "race": ""},
            {"path": "elsewhere.jpg", "age": 9, "gender": "f", "race": ""},
        ],
    )
    result = ingested(few, labels=given)
    table = frame(result).astype(object).where(lambda t: t.notna(), None)
    found = {n: tuple(row[["age_years", "gender", "race"]]) for n, row in table.iterrows()}
    assert found == {
        top[0].name: (1.0, "female", "asian"),
        deep[0].name: (2.5, "male", "other"),
        deep[1].name: (3.0, "male", None),
        top[1].name: (None, "female", None),
    }
    assert rejects(result) == {
        top[2].name: ("label", "neither a legal age nor a gender is given"),
        top[3].name: ("label", "the labels file does not name it"),
    }
    assert result.notes == (
        f"labels: {given}, 1 of its 6 rows match no file",
        "ages: 1 are not an age from 0 to 116 (the first: '300'); they become null",
        "ages: 1 are empty",
        "genders: 1 are none of male, female (the first: '?'); they become null; "
        "`gender_codes` can say what they mean",
        "races: 4 are empty",
    )
    assert result.counts["label_values"] == {
        "ages_illegal": 1, "ages_empty": 1, "genders_unknown": 1, "races_empty": 4,
    }  # fmt: skip


def test_base_name_that_two_files_share_labels_neither(few: Path, tmp_path: Path) -> None:
    name = sorted(few.glob("*.jpg"))[0].name
    shutil.copy(few / name, few / "more" / name)
    given = labels_csv(
        tmp_path,
        [{"path": name, "age": 1, "gender": "f"}, {"path": "x.jpg", "age": 1, "gender": "f"}],
    )
    assert frame(ingested(few, labels=given))["uri"].to_list() == [str(few / name)]


def test_number_like_paths_stay_text_and_name_files_without_their_suffix(
    few: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(few.rglob("*.jpg"))):
        path.rename(path.with_name(f"{number:06d}.jpg"))
    folder = "more\\" if (few / "more" / "000001.jpg").exists() else ""
    given = tmp_path / "labels.tsv"
    given.write_text("path\tage\tgender\n000000\t10\tm\n./000002.jpg\t12\tm\n7\t13\tm\n"
                     f"{folder}000001.jpg\t11\tm\n")  # fmt: skip
    result = ingested(few, labels=str(given))
    ages = frame(result)["age_years"].to_dict()
    assert ages == {"000000.jpg": 10, "000001.jpg": 11, "000002.jpg": 12}
    assert result.notes == (f"labels: {given}, 1 of its 4 rows match no file",)


def test_names_may_differ_in_case_and_accents_where_that_is_certain(
    few: Path, tmp_path: Path
) -> None:
    images = sorted(few.glob("*.jpg"))
    assert len(images) >= 3
    for path, name in zip(images, ("Jose\u0301.jpg", "B.JPG", "b.jpg"), strict=False):
        path.rename(path.with_name(name))
    rows = [{"path": "jos\u00e9.jpg", "age": 1, "gender": "f"},
            {"path": "JOS\u00c9.jpg", "age": 1, "gender": "f"},
            {"path": "b.jpg", "age": 3, "gender": "f"},
            {"path": "B.jpg", "age": 2, "gender": "f"}]  # fmt: skip
    ages = frame(ingested(few, labels=labels_csv(tmp_path, rows)))["age_years"].to_dict()
    assert ages == {"Jose\u0301.jpg": 1, "b.jpg": 3}  # B.jpg may be either of two


def test_rows_that_contradict_one_another_are_rejects_and_equal_ones_count_once(
    few: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in few.rglob("*.jpg"))
    given = labels_csv(
        tmp_path,
        [
            {"path": names[0], "age": 5, "gender": "m"},
            {"path": names[0], "age": "5.0", "gender": "Male"},
            {"path": names[1], "age": 5, "gender": "m"},
            {"path": names[1], "age": 5, "gender": "f"},
            {"path": names[2], "age": 5, "gender": "m"},
            {"path": str(next(few.rglob(names[2]))), "age": "", "gender": "m"},
        ],
    )
    result = ingested(few, labels=given)
    assert list(frame(result).index) == [names[0]]
    reason = "the labels file gives it conflicting labels"
    assert rejects(result)[names[1]] == rejects(result)[names[2]] == ("label", reason)
    assert result.counts["files"] == 6
    values = result.counts["label_values"]
    assert (values["rows_repeated"], values["files_with_contradictory_labels"]) == (3, 2)


def test_codes_of_gender_need_their_meaning_which_makes_another_manifest(
    few: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in few.rglob("*.jpg"))
    given = labels_csv(
        tmp_path, [{"path": n, "age": 5, "gender": i % 2} for i, n in enumerate(names)]
    )
    with pytest.raises(ManifestError, match="give `gender_codes` to jobs"):
        ingested(few, labels=given)
    imdb = frame(ingested(few, labels=given, gender_codes="0=female,1=male"))["gender"]
    utkface = frame(ingested(few, labels=given, gender_codes="0=male,1=female"))["gender"]
    assert (imdb[names[0]], utkface[names[0]]) == ("female", "male")
    assert (imdb.astype(str) != utkface.astype(str)).all()
    assert "gender_codes" not in IngestOptions("/a").identity()
    coded = IngestOptions("/a", labels="l.csv", gender_codes="0=m")
    assert coded.identity()["gender_codes"] == {"0": "male"}
    with pytest.raises(UsageError, match=r"^`gender_codes` needs a labels file"):
        IngestOptions("/a", label_format="utkface", gender_codes="0=male,1=female")


def test_ranges_of_ages_are_told_in_the_manifest(few: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in few.rglob("*.jpg"))
    texts = ["50-59", "9-Mar", "more than 70", "(25, 32)", "60+", "8"]
    given = labels_csv(
        tmp_path,
        [{"path": n, "age": a, "gender": "m"} for n, a in zip(names, texts, strict=True)],
    )
    options = IngestOptions(str(few), labels=given)
    record = write_ingested(ingest.ingest(options), options, str(tmp_path / "out"))
    table = read_manifest(str(tmp_path / "out")).to_pandas()
    assert sorted(table["age_years"].dropna()) == [6, 8, 28.5, 54.5]
    assert sorted(table["age_low_years"].dropna()) == [3, 25, 50, 60, 71]
    assert sorted(table["age_high_years"].dropna()) == [9, 32, 59, 116, 116]
    assert record["labelled"] == 6
    assert record["label_values"] == {
        "ages_of_ranges": 2, "ages_of_dates": 1, "ages_of_wide_ranges": 2,
    }  # fmt: skip
    assert any("2 are open ranges" in value for _, value in ingest.summary(record, "o")
               if isinstance(value, str))  # fmt: skip


def test_given_folds_are_taken_from_the_split_column(few: Path, tmp_path: Path) -> None:
    folds = ["train", "val", "test", "train", "train", "test"]
    names = sorted(path.name for path in few.rglob("*.jpg"))
    given = labels_csv(
        tmp_path,
        [
            {"path": n, "age": 5, "gender": "f", "fold": f}
            for n, f in zip(names, folds, strict=True)
        ],
    )
    result = frame(ingested(few, labels=given, split="fold"))
    assert result["split"].to_dict() == dict(zip(names, folds, strict=True))


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        ({"path": "a.jpg", "size": 3}, None, "needs the columns path, and age or gender or both"),
        ({"path": "a.jpg", "age": 3, "gender": "f"}, "fold", "has no such column"),
        ({"path": "a.jpg", "age": 3, "fold": "dev"}, "fold", r"\['dev'\]: legal are train, val"),
        ({"path": "a.jpg", "age": 3, "gender": "0"}, None, "give `gender_codes`"),
    ],
)  # fmt: skip
def test_labels_file_that_does_not_fit_is_refused_before_anything_is_listed(
    few: Path, tmp_path: Path, row: dict[str, Any], column: str | None, message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(images.Images, "listed", None)
    given = labels_csv(tmp_path, [row])
    with pytest.raises(ManifestError, match=message):
        ingested(few, labels=given, split=column or "0.6,0.2,0.2")


def test_labels_that_name_no_image_are_refused_before_any_is_read(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "in_tasks", None)
    unknown = [{"path": path.name, "age": "old", "gender": "?"} for path in few.glob("*.jpg")]
    with pytest.raises(ManifestError, match=r"no image gets a legal age or a gender: .*'old'"):
        ingested(few, labels=labels_csv(tmp_path, unknown))
    given = labels_csv(tmp_path, [{"path": f"{n}.png", "age": 3} for n in range(9)])
    message = f"none of its 9 paths matches a file below {few}; the first is '0.png', and the"
    with pytest.raises(ManifestError, match=message):
        ingested(few, labels=given)


def test_images_without_a_label_are_not_read_and_few_matches_are_told_at_once(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, *_ = sorted(few.glob("*.jpg"))
    given = labels_csv(tmp_path, [{"path": n, "age": 3} for n in (one.name, "a.png", "b.png")])
    result = ingested(few, labels=given, faces="detect")
    reasons = {reason for _, reason in rejects(result).values()}
    assert reasons <= {"the labels file does not name it", NO_FACE}
    told = "labels: most name no image, as 'a.png', and most images have none, as "
    assert any(note.startswith(told) for note in result.notes)
    said = capsys.readouterr().err
    assert said.index(f"note: {told}") < said.index("ingest: 1 / 1 files")


def test_labels_of_another_machine_name_their_images_by_the_ends_of_their_paths(
    few: Path, tmp_path: Path
) -> None:
    for number, path in enumerate(sorted(few.rglob("*.jpg"))):
        folder = few / ("Train" if number < 2 else "val")
        folder.mkdir(exist_ok=True)
        path.rename(folder / f"{number % 2}.jpg" if number < 4 else few / f"top{number}.jpg")
    rows = [
        ("/content/drive/MyDrive/f/train/0.jpg", 10), ("C:\\f\\train\\1.jpg", 11),
        ("/content/drive/MyDrive/f/val/0", 12), ("/content/elsewhere/0.jpg", 99),
        ("/content/top4.jpg", 14), ("/content/top5.jpg", 15),
    ]  # fmt: skip
    given = labels_csv(tmp_path, [{"path": path, "age": age} for path, age in rows])
    result = ingested(few, labels=given)
    ages = {r["uri"].removeprefix(f"{few}/"): r["age_years"] for r in result.table.to_pylist()}
    assert ages == {
        "Train/0.jpg": 10,
        "Train/1.jpg": 11,
        "val/0.jpg": 12,
        "top4.jpg": 14,
        "top5.jpg": 15,
    }
    assert any("5 paths are matched by their ends" in note for note in result.notes)


def test_a_name_alone_does_not_make_an_image_of_train_one_of_val(few: Path, tmp_path: Path) -> None:
    (few / "more").rename(few / "val")
    for path in few.glob("*.jpg"):
        path.unlink()
    names = sorted(path.name for path in (few / "val").iterdir())
    for folder in ("train", "/data/train", "a"):
        rows = [{"path": f"{folder}/{name}", "age": 5} for name in names]
        if folder == "a":
            assert ingested(few, labels=labels_csv(tmp_path, rows)).counts["manifest"] == 2
            continue
        with pytest.raises(ManifestError, match="none of its 2 paths"):
            ingested(few, labels=labels_csv(tmp_path, rows))


def test_folder_of_other_names_becomes_an_unlabelled_manifest(few: Path) -> None:
    for number, path in enumerate(sorted(few.rglob("*.jpg"))):
        path.rename(path.with_name(f"IMG_{number}.JPG"))
    result = ingested(few)
    assert result.counts["manifest"] == 6
    assert result.counts["labelled"] == 0
    assert result.notes == ("labels: none; this manifest is for scoring",)
    assert ingested(few, label_format="none").table.equals(result.table)


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=f"`images` {tmp_path} holds no files, so no images"):
        ingested(tmp_path)
    (tmp_path / "a.hif").write_text("x")
    (tmp_path / "b").write_text("x")
    message = f"`images` {tmp_path} holds 2 files, none of them images: .* into a .txt, one per"
    with pytest.raises(ManifestError, match=message):
        ingested(tmp_path)
    for gone in ({"images": tmp_path / "none"}, {"images": tmp_path, "labels": "none.csv"}):
        with pytest.raises(StorageError, match=r"none.* does not exist"):
            ingested(**gone)


def test_output_is_read_back_and_refreshed_but_never_mixed(
    few: Path, faces_dir: Path, tmp_path: Path
) -> None:
    output = str(tmp_path / "out")
    options = IngestOptions(str(few))
    record = write_ingested(ingest.ingest(options), options, output)
    assert read_manifest(output).num_rows == record["manifest"] == 6
    shutil.copy(sorted(faces_dir.iterdir())[10], few)
    assert write_ingested(ingest.ingest(options), options, output)["manifest"] == 7
    assert read_manifest(output).num_rows == 7
    other = dataclasses.replace(options, hash="etag")
    message = (
        f"`output` {output} holds another manifest (hash was 'content', is 'etag'): choose "
        "another `output`"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        write_ingested(ingest.ingest(options), other, output)
    assert read_manifest(output).num_rows == 7


def test_bucket_gives_the_hashes_and_splits_of_the_local_folder(
    faces_dir: Path, of_faces: Ingested, bucket: str, tmp_path: Path
) -> None:
    for path in sorted(faces_dir.iterdir()):
        storage.write_bytes(f"{bucket}/a set/of faces/{path.name}", path.read_bytes())
    images = f"{bucket}/a set"
    result = ingested(images)
    assert splits(result) == splits(of_faces)
    assert result.counts["fingerprint"] == of_faces.counts["fingerprint"]
    assert result.table["uri"][0].as_py().startswith(f"{images}/of faces/")
    quick = ingested(images, hash="etag")
    assert quick.table["content_hash"].null_count == 60
    assert quick.table["etag"].null_count == 0
    write_ingested(result, IngestOptions(images), f"{bucket}/out")
    assert read_manifest(f"{bucket}/out").num_rows == 60


def test_broken_link_is_a_reject(few: Path) -> None:
    path = sorted(few.glob("*.jpg"))[0]
    path.unlink()
    path.symlink_to(few / "gone.jpg")
    assert rejects(ingested(few)) == {path.name: ("read", "the file is gone, or a broken link")}


def test_utkface_parses_whole_and_its_duplicates_are_known(utkface_dir: Path) -> None:
    counts = ingested(utkface_dir).counts
    assert (counts["files"], counts["manifest"], counts["rejects"]) == (18_975, 18_975, 0)
    assert (counts["duplicate_groups"], counts["conflicting_groups"]) == (309, 177)
    shares = [counts["splits"][name] / 18_975 for name in ("train", "val", "test")]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.01)


def test_archives_beside_pictures_are_told_and_tars_of_a_folder_are_read(
    few: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sorted((few / "more").glob("*.jpg"))
    with tarfile.open(few / "more.tar", "w") as tar:
        tar.add(first, first.name)
        tar.add(second, f"deep/{second.name}")
    shutil.rmtree(few / "more")
    (few / "rest.7z").write_bytes(b"7z")
    (few / "older.tar.xz").write_bytes(b"")
    result = ingested(few)
    assert result.counts["manifest"] == 6
    assert {first.name, second.name} <= set(frame(result).index)
    unpack = (
        "of a kind that is not read: unpack it, for example with "
        "`7z x rest.7z -ofaces`, and give that folder"
    )
    assert rejects(result)["rest.7z"] == ("list", unpack)
    told = (
        "2 files are of kinds that are not read (the first: "
        f"{few}/older.tar.xz): unpack it, for example with "
        "`xz -dc older.tar.xz > faces.tar`, and give that .tar"
    )
    assert result.notes == ("labels: UTKFace file names", told)
    list(images.Images(str(few)).parts())  # as scoring lists them
    assert f"note: {told}" in capsys.readouterr().err
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.move(few / "rest.7z", alone)
    with pytest.raises(ManifestError, match="1 file is of a kind that is not read"):
        ingested(alone)
    with pytest.raises(StorageError, match=r"rest\.7z is of a kind"):
        ingested(alone / "rest.7z")
