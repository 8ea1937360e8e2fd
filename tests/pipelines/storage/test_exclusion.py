"""What `exclude` leaves out, and how it changes whose run it is."""

from pathlib import Path

import pytest

from model.errors import UsageError
from pipelines.manifests.ingest import require_own
from pipelines.manifests.options import IngestOptions
from pipelines.manifests.sources import open_source
from pipelines.manifests.sources.images import Images
from pipelines.storage import tables
from pipelines.storage.exclusion import Exclusion


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        ("*.gif", ["a.gif", "b/c.gif", "b/d.zip#e.gif"]),
        ("b/*", ["b/c.gif", "b/d.zip", "b/d.zip#e.gif", "b/"]),
        ("b", ["b/c.gif", "b/d.zip", "b/d.zip#e.gif", "b/"]),
        ("?.gif", ["a.gif", "b/c.gif", "b/d.zip#e.gif"]),
        ("B/*", []),
        ("d.zip", ["b/d.zip", "b/d.zip#e.gif"]),
        ("b/d.zip#*", ["b/d.zip#e.gif"]),
    ],
)
@pytest.mark.parametrize("root", ["/data/b", "s3://bucket/b"])
def test_a_pattern_is_of_the_path_below_the_images_or_of_a_name_in_it(
    root: str, pattern: str, left_out: list[str]
) -> None:
    paths = ["a.gif", "a.jpg", "b/c.gif", "b/d.zip", "b/d.zip#e.gif", "b/", "ab/f.jpg"]
    exclusion = Exclusion(root, (pattern,))
    assert [path for path in paths if exclusion(f"{root}/{path}")] == left_out


@pytest.mark.parametrize("pattern", ["", "/", "/data/b/*", "s3://bucket/b/*"])
def test_what_is_no_pattern_below_the_images_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError) as told:
        Images("/data/b", exclude=(pattern,))
    assert repr(pattern) in str(told.value)
    with pytest.raises(UsageError):
        open_source((), "/manifest", exclude=("*.gif",))


def test_a_listing_counts_what_it_leaves_out_and_does_not_open_it(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.gif", "c.zip"):
        (tmp_path / name).write_bytes(b"no zip")
    source = Images(str(tmp_path), exclude=("*.zip", "*.gif"))
    uris = [uri for part in source.parts() for uri in part["uri"].to_pylist()]
    assert (uris, source.excluded) == ([f"{tmp_path}/a.jpg"], 2)
    assert [part["uri"].to_pylist() for part in source.preview()] == [uris]


def test_a_run_with_other_patterns_is_another_run(tmp_path: Path) -> None:
    plain, some = Images("/data"), Images("/data", exclude=("b", "a", "a"))
    assert "exclude" not in plain.identity()
    assert some.identity()["exclude"] == ["a", "b"]
    options = IngestOptions("/data", exclude=("a",))
    tables.write_json(f"{tmp_path}/manifest.json", {"options": options.identity()})
    require_own(options, str(tmp_path))
    with pytest.raises(UsageError, match="exclude"):
        require_own(IngestOptions("/data"), str(tmp_path))
