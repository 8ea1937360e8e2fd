"""An ingest in this process, where a test is not about Ray."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest

from pipelines.manifests import ingest
from pipelines.storage import listing


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tasks of Ray do is done here."""

    def here(
        blocks: list[pa.Table], act: Callable[..., pa.Table], how: Mapping[str, Any]
    ) -> Iterator[pa.Table]:
        return (act(block, **how) for block in blocks)

    monkeypatch.setattr(ingest, "in_tasks", here)
    monkeypatch.setattr(listing, "list_roots", lambda uri: [(uri, True)])
