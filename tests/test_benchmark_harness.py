"""benchmarks/harness: contenders take turns, and a result replaces no other one."""

from pathlib import Path

import pytest

from benchmarks.harness import images, medians, run, table, turns, with_part

PAGE = "# Speed\n\nBy hand.\n\n<!-- generated: result -->\n| 1 |\n<!-- end -->\n\nWhat it means.\n"


def test_a_part_is_replaced_and_what_stands_around_it_stays() -> None:
    text = with_part(PAGE, "result", ["| 2 |"])
    assert text == PAGE.replace("| 1 |", "| 2 |")
    assert with_part(text, "result", ["| 2 |"]) == text


def test_a_part_that_is_new_is_added_and_the_documented_one_stays() -> None:
    text = with_part(PAGE, "result small", ["| 3 |"])
    assert text.startswith(PAGE)
    assert with_part(text, "result", ["| 2 |"]).count("| 3 |") == 1


def test_contenders_take_turns() -> None:
    order = list[str]()
    results = turns({name: lambda name=name: order.append(name) for name in "ab"}, 2)
    assert order == ["a", "b", "a", "b"]
    assert {name: len(taken) for name, taken in results.items()} == {"a": 2, "b": 2}


def test_the_median_of_turns_is_no_mean() -> None:
    assert medians({"a": [1.0, 2.0, 90.0]}) == {"a": 2.0}


def test_numbers_are_aligned_to_the_right() -> None:
    assert table(["who", "s:"], [("a", 1)]) == ["| who | s |", "|---|---:|", "| a | 1 |"]


def test_faces_are_drawn_where_there_is_no_folder(tmp_path: Path) -> None:
    assert len(list(images(tmp_path, tmp_path / "none", 3).glob("*.jpg"))) == 3


def test_so_many_images_are_spread_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for name in "abcdefghij":
        (tmp_path / "source" / f"{name}.jpg").write_text(name)
    found = sorted(images(tmp_path, tmp_path / "source", 3).iterdir())
    assert [path.read_text() for path in found] == ["a", "d", "g"]


def test_a_module_that_fails_ends_the_benchmark_with_its_words() -> None:
    with pytest.raises(SystemExit, match="No module named"):
        run("benchmarks.nowhere")
