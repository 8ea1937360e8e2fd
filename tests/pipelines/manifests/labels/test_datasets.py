"""Each data set's labels are read from files of our own making, in exactly its publishers' form."""

import pkgutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from model.errors import UsageError
from pipelines.manifests import ingest
from pipelines.manifests.ingest import Ingested
from pipelines.manifests.labels import datasets
from pipelines.manifests.labels.datasets import NAMES, convention, imdb_wiki
from pipelines.manifests.labels.datasets.kinds import InNames
from pipelines.manifests.labels.datasets.reading import read_as
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources.images import Images

pytestmark = pytest.mark.usefixtures("without_ray")
PARTS = {"kinds", "reading"}  # of the package, that are no data sets


def pictures(folder: Path, names: Sequence[str]) -> Path:
    """Files of these names, each with bytes of its own: an ingest without faces decodes none."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"picture %d" % number)
    return folder


def ingested(images: Path, **options: Any) -> Ingested:
    """What jobs.ingest makes of a folder, in this process."""
    return ingest.ingest(IngestOptions(str(images), **options))


def labels(result: Ingested, *names: str) -> dict[str, list[Any]]:
    """path below the folder of a test -> some columns, null as None."""
    names = names or ("age_years", "gender")
    rows = result.table.to_pylist()
    return {row["uri"].rpartition("/")[2]: [row[name] for name in names] for row in rows}


def rejects(result: Ingested) -> dict[str, str]:
    return {r["uri"].rpartition("/")[2]: r["reason"] for r in result.rejects.to_pylist()}


def test_the_choices_are_the_files_of_the_package() -> None:
    files = {module.name for module in pkgutil.iter_modules(datasets.__path__)} - PARTS
    assert {name.replace("-", "_") for name in NAMES} == files
    assert list(NAMES) == sorted(NAMES)
    assert all(convention(name).title for name in NAMES)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("agedb", {
            "0_MariaCallas_35_f.jpg": [35, "female"], "12_Paul_NewmanJr_101_M.JPG": [101, "male"],
        }),
        ("fg-net", {"001A02.JPG": [2, None], "082A43a.jpg": [43, None], "003A00.JPG": [0, None]}),
        ("morph", {"009055_1M54.JPG": [54, "male"], "012345_03F16.jpg": [16, "female"]}),
        ("cacd", {
            "14_Aaron_Johnson_0001.jpg": [14, None], "53_Robin_Williams_0012.jpg": [53, None],
        }),
        ("afad", {"18/111/1-0.jpg": [18, "male"], "72/112/2-7.jpg": [72, "female"]}),
    ],
)  # fmt: skip
def test_labels_that_stand_in_the_paths(
    name: Any, files: dict[str, list[Any]], tmp_path: Path
) -> None:
    images = pictures(tmp_path, list(files))
    expected = {path.rpartition("/")[2]: label for path, label in files.items()}
    assert labels(ingested(images, label_format=name)) == expected
    found = ingested(images)  # unasked
    if convention(name).certain:  # type: ignore[union-attr]
        assert labels(found) == expected
        assert (
            found.notes[0]
            == f"labels: {images} as {name}, 0 of its {len(files)} rows match no file"
        )
    else:
        assert found.notes == ("labels: none; this manifest is for scoring",)


def test_illegal_ages_and_other_names_are_rejects_with_their_reason(tmp_path: Path) -> None:
    names = ["0_A_117_f.jpg", "1_B_116_m.jpg", "2_C_1_f.jpg", "3_C_f.jpg"]
    result = ingested(pictures(tmp_path, names), label_format="agedb")
    assert labels(result) == {
        "0_A_117_f.jpg": [None, "female"], "1_B_116_m.jpg": [116, "male"],
        "2_C_1_f.jpg": [1, "female"],
    }  # fmt: skip
    assert rejects(result) == {
        "3_C_f.jpg": "the path is not AgeDB's 0_MariaCallas_35_f.jpg (number, name, age, m or f)"
    }
    assert result.label_values == {"ages_illegal": 1}


def test_another_s_names_are_not_taken_for_a_data_set_s(tmp_path: Path) -> None:
    """All-Age-Faces has five digits in front, others a few names that look like it by chance."""
    for number, names in enumerate(
        (["00000A02.jpg", "00001A30.jpg"], ["001A02.JPG", "a.jpg", "b.jpg"])
    ):
        result = ingested(pictures(tmp_path / str(number), names))
        assert result.notes == ("labels: none; this manifest is for scoring",)


FAIRFACE = (
    "file,age,gender,race,service_test\r\n"
    "train/1.jpg,50-59,Male,East Asian,True\r\n"
    "train/2.jpg,3-9,Female,Latino_Hispanic,False\r\n"
    "train/3.jpg,more than 70,Female,White,False\r\n"
    "train/4.jpg,9-Mar,Male,Middle Eastern,False\r\n"
    "train/missing.jpg,0-2,Male,Black,False\r\n"
)


@pytest.fixture
def fairface(tmp_path: Path) -> Path:
    names = ["train/1.jpg", "train/2.jpg", "train/3.jpg", "train/4.jpg", "val/1.jpg"]
    images = pictures(tmp_path / "fairface", names)
    (images / "fairface_label_train.csv").write_text(FAIRFACE)
    (images / "fairface_label_val.csv").write_text(
        "file,age,gender,race,service_test\nval/1.jpg,20-29,Female,Indian,True\n"
    )
    return images


@pytest.mark.parametrize("choice", [{}, {"label_format": "fairface"}])
def test_fairface_by_its_files_among_the_pictures(choice: dict[str, Any], fairface: Path) -> None:
    result = ingested(fairface, **choice, split="split")
    rows = {
        row["uri"].removeprefix(f"{fairface}/"): (row["gender"], row["race"], row["split"])
        for row in result.table.to_pylist()
    }
    assert rows == {
        "train/1.jpg": ("male", "asian", "train"), "train/2.jpg": ("female", "other", "train"),
        "train/3.jpg": ("female", "white", "train"), "train/4.jpg": ("male", "other", "train"),
        "val/1.jpg": ("female", "indian", "val"),
    }  # fmt: skip
    assert result.notes[0] == f"labels: {fairface} as fairface, 1 of its 6 rows match no file"
    assert result.label_values["ages_of_dates"] == 1  # 9-Mar, of a spreadsheet
    assert result.label_values["ages_of_wide_ranges"] == 1


def test_a_file_or_a_folder_of_files_beside_the_pictures(fairface: Path, tmp_path: Path) -> None:
    apart = tmp_path / "labels"
    apart.mkdir()
    for path in fairface.glob("*.csv"):
        path.rename(apart / path.name)
    (apart / "readme.csv").write_text("a,b\n")
    whole = ingested(fairface, labels=str(apart), label_format="fairface")
    assert whole.counts["manifest"] == 5
    # One level up, where paths below the images begin with the data set's folder:
    one = ingested(fairface, labels=str(apart / "fairface_label_train.csv"))
    assert (one.counts["manifest"], one.counts["rejects"]) == (4, 1)
    above = ingested(tmp_path, labels=str(apart), label_format="fairface")
    assert above.counts["manifest"] == 5


ADIENCE = (
    "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\n"
    "30601258@N03\t10399646885_67c7d20df9_o.jpg\t1\t(25, 32)\tf\t0\t414\t1086\t1383\t-115\n"
    "30601258@N03\t10424815813_e94629b1ec_o.jpg\t2\t(60, 100)\tm\t301\t105\t640\t641\t0\n"
    "30601258@N03\t10437979845_5985be4b26_o.jpg\t1\tNone\tu\t2395\t876\t771\t771\t175\n"
    "7464014@N04\t10424815813_e94629b1ec_o.jpg\t3\t35\t\t752\t1255\t484\t484\t180\n"
)


@pytest.mark.parametrize("crop", ["coarse_tilt_aligned_face", "landmark_aligned_face"])
def test_adience_by_its_folds(crop: str, tmp_path: Path) -> None:
    names = [
        f"faces/30601258@N03/{crop}.1.10399646885_67c7d20df9_o.jpg",
        f"faces/30601258@N03/{crop}.2.10424815813_e94629b1ec_o.jpg",
        f"faces/30601258@N03/{crop}.1.10437979845_5985be4b26_o.jpg",
        f"faces/7464014@N04/{crop}.3.10424815813_e94629b1ec_o.jpg",
    ]
    images = pictures(tmp_path, names)
    (images / "fold_3_data.txt").write_text(ADIENCE)
    result = ingested(images, split="split")
    assert result.notes[0] == f"labels: {images} as adience, 0 of its 4 rows match no file"
    rows = labels(result, "age_years", "gender", "split")
    assert rows.pop(names[0].rpartition("/")[2]) == [28.5, "female", "val"]
    assert rows.pop(names[1].rpartition("/")[2])[1:] == ["male", "val"]
    assert list(rows.values()) == [[35, None, "val"]]
    assert "neither a legal age nor a gender is given" in rejects(result).values()


def listed(images: Path) -> pd.DataFrame:
    return ingest.named(Images(str(images)).listed(), by_name=True)


BOX = ["label_face_left", "label_face_top", "label_face_width", "label_face_height"]


def test_adience_s_boxes_mean_its_photographs_and_not_its_crops(tmp_path: Path) -> None:
    name = "30601258@N03/10399646885_67c7d20df9_o.jpg"
    images = pictures(tmp_path / "photographs", [name])
    (images / "fold_0_data.txt").write_text(ADIENCE)
    read = read_as("adience", listed(images), None, str(images), None).frame
    assert read.loc[0, BOX].to_list() == [0, 414, 1086, 1383]
    crops = pictures(tmp_path / "crops", ["u/coarse_tilt_aligned_face.1.a.jpg"])
    (crops / "fold_0_data.txt").write_text(ADIENCE)
    assert not {*BOX} & {*read_as("adience", listed(crops), None, str(crops), None).frame}


def test_lagenda_s_people_by_their_boxes(tmp_path: Path) -> None:
    images = pictures(tmp_path, ["a1.jpg", "b2.jpg"])
    (images / "lagenda_test_annotation.csv").write_text(
        "img_name,age,gender,face_x0,face_y0,face_x1,face_y1,person_x0,person_y0,person_x1,person_y1\n"
        "a1.jpg,24,M,100,50,140,100,80,40,200,400\n"
        "a1.jpg,31.5,F,200,50,250,110,-1,-1,-1,-1\n"
        "b2.jpg,-1,F,10,10,30,40,0,0,50,100\n"
        "b2.jpg,40,M,-1,-1,-1,-1,0,0,50,100\n"
    )
    read = read_as("lagenda", listed(images), None, str(images), None)
    values = read.frame[["age_years", "gender", *BOX]].astype(object)
    assert values.where(values.notna(), None).to_numpy().tolist() == [
        [24, "male", 100, 50, 40, 50], [31.5, "female", 200, 50, 50, 60],
        [None, "female", 10, 10, 20, 30],
    ]  # fmt: skip
    assert read.told.notes[0] == (
        "labels: 1 people have no face box (the first in b2.jpg); they are skipped"
    )
    assert ingested(images).notes[0].startswith(f"labels: {images} as lagenda, 0 of its 3 rows")


@pytest.mark.parametrize(
    ("name", "ages"), [("appa-real", [3, 42]), ("appa-real-apparent", [5.5, 38])]
)
@pytest.mark.parametrize("end", ["", "_face.jpg"])
def test_appa_real_s_real_or_apparent_ages(
    name: Any, ages: list[float], end: str, tmp_path: Path
) -> None:
    given = ["train/000000.jpg", "valid/000000.jpg"]
    names = [*given, *(f"{path}_face.jpg" for path in given if end)]
    images = pictures(tmp_path, names)
    header = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
    (images / "gt_avg_train.csv").write_text(header + "000000.jpg,38,5.5,1.2,3\n")
    (images / "gt_avg_valid.csv").write_text(header + "000000.jpg,40,38,4.1,42\n")
    result = ingested(images, label_format=name, split="split")
    rows = [(r["uri"], r["age_years"], r["split"]) for r in result.table.to_pylist()]
    assert rows == [
        (f"{images}/{path}{end}", age, split)
        for path, age, split in zip(given, ages, ("train", "val"), strict=True)
    ]
    assert (labels(ingested(images)) == labels(result)) == (name == "appa-real")  # unasked


def matlab_day(*day: int) -> float:
    """MATLAB's datenum: day 1 is the first of January of the year 0."""
    return date(*day).toordinal() + 366.0


def imdb(path: Path, name: str, rows: Sequence[Sequence[Any]]) -> None:
    """A structure as the publishers' files hold it: one row of cells or numbers each field."""
    paths, born, taken, gender, box, score, second = zip(*rows, strict=True)

    def cells(values: Sequence[Any]) -> Any:
        array = np.empty((1, len(values)), object)
        for number, value in enumerate(values):
            array[0, number] = value
        return array

    fields = {
        "dob": np.array([born]), "photo_taken": np.array([taken], np.uint16),
        "full_path": cells([np.array([text]) for text in paths]),
        "gender": np.array([gender], float), "name": cells([np.array(["A B"])] * len(rows)),
        "face_location": cells([np.array([corners], float) for corners in box]),
        "face_score": np.array([score], float), "second_face_score": np.array([second], float),
    }  # fmt: skip
    savemat(path, {name: fields})


NAN, INF = float("nan"), float("inf")
IMDB = [
    ("01/nm01_rm1_1950-6-30_1980.jpg", matlab_day(1950, 6, 30), 1980, 1, [11, 21, 31, 41], 3, NAN),
    ("01/nm01_rm2_1950-7-2_1980.jpg", matlab_day(1950, 7, 2), 1980, 0, [1, 1, 50, 60], 2.5, NAN),
    ("02/nm02_rm3_1899-5-10_2060.jpg", matlab_day(1899, 5, 10), 2060, NAN, [1, 1, 2, 2], 2.5, NAN),
    ("02/nm02_rm4_2000-1-1_1990.jpg", matlab_day(2000, 1, 1), 1990, 0, [1, 1, 2, 2], 2.5, NAN),
    ("02/nm02_rm5_1970-1-1_2000.jpg", matlab_day(1970, 1, 1), 2000, 1, [1, 1, 2, 2], -INF, NAN),
    ("02/nm02_rm6_1970-1-1_2000.jpg", matlab_day(1970, 1, 1), 2000, 1, [1, 1, 2, 2], 3.0, 1.5),
    ("02/nm02_rm7_0-0-0_2000.jpg", 0.0, 2000, 1, [1, 1, 2, 2], 3.0, NAN),
]  # fmt: skip


def test_imdb_wiki_s_dates_codes_and_scores(tmp_path: Path) -> None:
    images = pictures(tmp_path / "imdb_crop", [row[0] for row in IMDB])
    imdb(images / "imdb.mat", "imdb", IMDB)
    result = ingested(images)
    assert labels(result) == {
        "nm01_rm1_1950-6-30_1980.jpg": [30, "male"], "nm01_rm2_1950-7-2_1980.jpg": [29, "female"],
        "nm02_rm4_2000-1-1_1990.jpg": [None, "female"], "nm02_rm7_0-0-0_2000.jpg": [None, "male"],
    }  # fmt: skip
    assert (
        rejects(result)["nm02_rm3_1899-5-10_2060.jpg"]
        == "neither a legal age nor a gender is given"
    )
    values = result.label_values
    assert values["pictures_of_nobody"] == values["pictures_of_several_people"] == 1
    assert values["ages_illegal"] == 2
    crops = read_as("imdb-wiki", listed(images), None, str(images), None).frame
    assert not {*BOX} & {*crops}


def test_what_two_files_leave_out_is_added_up(tmp_path: Path) -> None:
    images = pictures(tmp_path / "imdb_crop", [row[0] for row in IMDB])
    imdb(images / "imdb.mat", "imdb", IMDB)
    imdb(images / "wiki.mat", "wiki", IMDB[4:])
    values = ingested(images).label_values
    assert values["pictures_of_nobody"] == values["pictures_of_several_people"] == 2
    assert values["rows_repeated"] == 1


def test_imdb_wiki_s_boxes_begin_at_one_in_its_photographs(tmp_path: Path) -> None:
    images = pictures(tmp_path / "wiki", [IMDB[0][0]])
    imdb(tmp_path / "wiki.mat", "wiki", IMDB)
    read = read_as("imdb-wiki", listed(images), str(tmp_path / "wiki.mat"), str(images), None)
    assert read.frame.loc[0, BOX].to_list() == [10, 20, 20, 20]
    assert labels(ingested(images, labels=str(tmp_path / "wiki.mat"))) == {
        IMDB[0][0][3:]: [30, "male"]
    }


@pytest.mark.parametrize(
    ("born", "taken", "age"),
    [
        (matlab_day(1980, 7, 1), 2000, 20), (matlab_day(1980, 7, 2), 2000, 19),
        (matlab_day(2001, 1, 1), 2000, -1), (NAN, 2000, None), (366.0, 2000, None),
        (1e9, 2000, None),
    ],
)  # fmt: skip
def test_ages_are_those_of_the_first_of_july(born: float, taken: int, age: int | None) -> None:
    assert imdb_wiki.age_of(born, taken) == age


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("adience", "fairface_label_train.csv", "is none of Adience's: it lacks user_id, original"),
        ("lagenda", None, "there is no labels file such as lagenda_test_annotation.csv below"),
        ("imdb-wiki", "fairface_label_train.csv", "is neither imdb.mat nor wiki.mat of IMDB-WIKI:"),
        ("imdb-wiki", "wiki.mat", "it lacks dob, photo_taken, .* and has x: give one of these, or"),
        ("agedb", "fairface_label_train.csv", "reads labels from the paths of the images, and"),
        ("morph", None, r"no path is like MORPH's 009055_1M54.JPG \(.*; the first is .*/1.jpg: gi"),
    ],
)
def test_a_wrong_choice_says_what_was_expected_and_what_was_found(
    name: Any, labels: str | None, message: str, fairface: Path
) -> None:
    savemat(fairface / "wiki.mat", {"x": np.ones(3)})
    given = None if labels is None else str(fairface / labels)
    with pytest.raises(UsageError, match=message):
        ingested(fairface, label_format=name, labels=given)


def test_options_on_labels_that_contradict_are_refused() -> None:
    for options, message in (
        ({"label_format": "sidecar", "labels": "l.csv"}, "`label_format` sidecar reads no file"),
        ({"label_format": "table"}, "`label_format` table reads a file: give it as `labels`"),
        ({"label_format": "fairface", "gender_codes": "0=male,1=female"},
         "`label_format` fairface defines its own codes of gender"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=f"^{message}"):
            IngestOptions("/x", **options)  # type: ignore[arg-type]


def test_a_data_set_asked_for_makes_another_manifest() -> None:
    assert "labels_as" not in IngestOptions("/x").identity()
    assert IngestOptions("/x", label_format="cacd").identity()["labels_as"] == "cacd"


def test_every_convention_of_names_has_an_age() -> None:
    known = [convention(name) for name in NAMES]
    assert all("age" in k.pattern.groupindex for k in known if isinstance(k, InNames))
