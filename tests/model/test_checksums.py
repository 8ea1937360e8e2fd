"""No byte of a bundle can be changed without being refused; what has no seal opens all the same."""

import json
import shutil
from pathlib import Path

import pytest

from model.bundle import NETWORK_FILE, RECORD_FILE, Bundle, read_bundle, with_details
from model.checksums import CARD_FILES
from model.errors import BundleError
from pipelines.bundles.cards import put_card, seal
from pipelines.bundles.opening import SHIPPED, copy_bundle, open_bundle
from pipelines.storage import writes
from tests.robustness.bundle_fuzz import changed_bytes

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0" / "train" / "bundle"
CARD = {name: f"the card: {name}".encode() for name in CARD_FILES}


@pytest.fixture
def sealed_bundle(tmp_path: Path) -> Bundle:
    """A small bundle of today, with a card."""
    plain = with_details(read_bundle(GOLDEN), tmp_path / "bundle", {"note": "x"})
    put_card(plain, str(tmp_path / "bundle"), CARD)
    return read_bundle(tmp_path / "bundle")


def test_no_byte_of_any_file_can_be_changed_without_being_refused(sealed_bundle: Bundle) -> None:
    names = sorted(path.name for path in sealed_bundle.folder.iterdir())
    assert names == sorted([RECORD_FILE, NETWORK_FILE, *CARD_FILES])
    tried, accepted = changed_bytes(sealed_bundle.folder, every=97)
    assert tried > 800
    assert accepted == []


def test_metrics_cannot_be_edited_unseen(sealed_bundle: Bundle) -> None:
    path = sealed_bundle.folder / RECORD_FILE
    path.write_text(path.read_text().replace('"note": "x"', '"note": "y"'))
    with pytest.raises(BundleError, match=str(path)):
        read_bundle(sealed_bundle.folder)


def test_a_record_whose_seal_was_taken_away_is_refused(sealed_bundle: Bundle) -> None:
    path = sealed_bundle.folder / RECORD_FILE
    record = json.loads(path.read_text())
    del record["seal"]
    path.write_text(json.dumps(record, indent=2) + "\n")
    with pytest.raises(BundleError, match=str(path)):
        read_bundle(sealed_bundle.folder)


def test_an_edited_card_is_refused_and_a_missing_one_is_none(sealed_bundle: Bundle) -> None:
    card = sealed_bundle.folder / CARD_FILES[0]
    card.write_text("nothing to worry about")
    with pytest.raises(BundleError, match=f"^{card} is not the card that was written"):
        read_bundle(sealed_bundle.folder)
    card.unlink()
    assert read_bundle(sealed_bundle.folder).id == sealed_bundle.id


def test_a_bundle_of_0_1_0_opens_without_a_seal_and_can_get_one(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "old")
    before = read_bundle(tmp_path / "old")
    assert "seal" not in before.record
    seal(before, str(tmp_path / "old"))
    after = read_bundle(tmp_path / "old")
    assert after.id == before.id
    assert (after.record["bundle_version"], len(after.record["seal"])) == (2, 64)


def test_a_writer_of_cards_may_die_at_any_write(sealed_bundle: Bundle) -> None:
    uri = str(sealed_bundle.folder)
    news = {name: data + b"!" for name, data in CARD.items()}
    seen = list[str]()
    with writes.watched(lambda *event: seen.append(event[0])):
        put_card(sealed_bundle, uri, CARD)
    for fatal in range(len(seen)):
        left = iter(range(fatal))

        def dies(*_: object, left: object = left) -> None:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), writes.watched(dies):
            put_card(sealed_bundle, uri, news)
        again = read_bundle(uri)
        put_card(again, uri, news)
        assert {n: (sealed_bundle.folder / n).read_bytes() for n in CARD} == news
        put_card(read_bundle(uri), uri, CARD)


def test_a_copy_takes_the_card_along(sealed_bundle: Bundle, tmp_path: Path) -> None:
    copy_bundle(sealed_bundle, str(tmp_path / "copy"))
    assert (tmp_path / "copy" / CARD_FILES[0]).read_bytes() == CARD[CARD_FILES[0]]
    assert open_bundle(str(tmp_path / "copy")).record == sealed_bundle.record


@pytest.mark.parametrize("name", sorted(path.name for path in SHIPPED.iterdir()))
def test_shipped_bundles_are_sealed_with_their_cards(name: str) -> None:
    bundle = read_bundle(SHIPPED / name)
    assert bundle.record["bundle_version"] == 2
    assert set(bundle.record["card"]) == set(CARD_FILES)
