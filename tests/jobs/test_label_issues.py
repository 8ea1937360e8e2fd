"""jobs.report --suspects as a person starts it."""

import re
from pathlib import Path

import pyarrow as pa

from pipelines.predictions.label_issues import label_issues
from pipelines.storage import tables
from tests.jobs.conftest import RunJob
from tests.pipelines.predictions.test_label_issues import answers


def test_the_page_shows_labels_and_no_face_unless_it_is_asked_to(
    faces_dir: Path, tmp_path: Path, run_job: RunJob
) -> None:
    table = answers()
    paths = [str(path) for path in sorted(faces_dir.iterdir())]
    uris = [paths[n] if n < len(paths) else f"/gone/{n}.jpg" for n in range(table.num_rows)]
    table = table.set_column(0, table.schema.field(0), pa.array(uris))
    tables.write_table(str(tmp_path / "label_issues.parquet"), label_issues(table))
    page = tmp_path / "page.html"
    done = run_job("label_issues", "--run", tmp_path, "--output", page)
    assert done.returncode == 0, done.stderr
    assert re.search(r"conflicting duplicates +2 +groups of copies", done.stdout)
    text = page.read_text()
    assert "Labels that may be wrong" in text and "Conflicting duplicates" in text
    assert "data:image/jpeg" not in text
    done = run_job("label_issues", "--run", tmp_path, "--output", page, "--show-faces")
    assert done.returncode == 0, done.stderr
    assert "data:image/jpeg" in page.read_text()


def test_a_run_without_folds_has_no_suspects(tmp_path: Path, run_job: RunJob) -> None:
    refused = run_job("label_issues", "--run", tmp_path, "--output", tmp_path / "page.html")
    assert refused.returncode == 2
    assert refused.stderr == (
        f"error: --run {tmp_path} has no label_issues.parquet: give the --output of "
        "jobs.cross_validate, once all folds are done\n"
    )
