"""Pictures of the web: what is wrong with one is a row, and none leads into a private network."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import storage
from pipelines.storage import fetching, web
from pipelines.storage.fetching import ReadFailure, fetch, fetch_all
from tests.web_server import WebServer, serve_web

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A server that may be reached though it is on loopback."""
    monkeypatch.setenv("FACEMILL_ALLOW_PRIVATE", "1")
    monkeypatch.setattr(web, "_WAIT_S", 0.01)
    web._client.cache_clear()
    web._answered.clear()
    web._busy_until.clear()
    with serve_web({f"{i}.jpg": bytes([i]) * 999 for i in range(40)}) as running:
        yield running
    web._client().clear()
    web._client.cache_clear()


def _failure(uri: str) -> tuple[str, str]:
    found = fetch({"uri": uri})
    assert isinstance(found, ReadFailure)
    return found.reason, str(found).removeprefix(uri)


def test_pictures_are_read_in_order_by_few_connections(server: WebServer) -> None:
    rows = [{"uri": f"{server.url}/slow/{i}.jpg"} for i in range(40)]
    assert list(fetch_all(rows)) == [bytes([i]) * 999 for i in range(40)]
    assert 1 < server.most_at_once <= 4


def test_redirects_are_followed_and_a_busy_host_is_asked_again(server: WebServer) -> None:
    assert fetch({"uri": f"{server.url}/redirect/3"}) == server.files["1.jpg"]
    assert fetch({"uri": f"{server.url}/busy/2.jpg"}) == server.files["2.jpg"]
    assert server.asked.count("/busy/2.jpg") == 3
    assert storage.read_bytes(f"{server.url}/files/3.jpg") == server.files["3.jpg"]


def test_a_host_that_asks_for_an_hour_holds_nothing_up(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_MOST_WAIT_S", 0.01)
    assert _failure(f"{server.url}/later/1.jpg")[0] == "unreachable"
    assert server.asked == ["/later/1.jpg"] * 3
    assert _failure(f"{server.url}/later/2.jpg")[0] == "unreachable"
    assert server.asked.count("/later/2.jpg") == 1
    assert fetch({"uri": f"{server.url}/redirect/1"}) == server.files["1.jpg"]


def test_what_is_wrong_with_one_address_is_a_row(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _failure(f"{server.url}/files/gone") == ("not_found", " was answered with HTTP 404")
    for status, reason in ((403, "denied"), (410, "not_found"), (418, "unreachable")):
        told = (reason, f" was answered with HTTP {status}")
        assert _failure(f"{server.url}/status/{status}") == told
    assert _failure(f"{server.url}/status/503") == ("unreachable", " was answered with HTTP 503")
    assert server.asked.count("/status/503") == 3
    reason, told = _failure(f"{server.url}/redirect/9")
    assert (reason, told) == ("unreachable", " cannot be reached: too many redirects")
    reason, told = _failure(f"{server.url}/cut/4.jpg")
    assert reason == "unreachable" and told.startswith(" broke off: ")
    monkeypatch.setattr(fetching, "MOST_BYTES", 500)
    reason, told = _failure(f"{server.url}/files/5.jpg")
    assert (reason, told) == (
        "file_too_large",
        " has more than 500 bytes, the largest image that is read",
    )
    assert _failure("http://[/x.jpg")[0] == "bad_uri"


def test_a_host_that_is_silent_is_a_row_only_while_another_answers(server: WebServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        silent = f"http://127.0.0.1:{taken.getsockname()[1]}/1.jpg"
        with pytest.raises(OSError, match="cannot be reached, nor any other host: "):
            fetch({"uri": silent})
        rows = [{"uri": silent}, {"uri": f"{server.url}/files/1.jpg"}]
        lost, found = fetch_all(rows)
        assert isinstance(lost, ReadFailure) and lost.reason == "unreachable"
        assert found == server.files["1.jpg"]
        assert _failure(silent)[0] == "unreachable"  # the other one is remembered
        assert _failure("http://no-such-host.invalid/1.jpg")[0] == "unreachable"


def test_a_private_address_is_refused_by_itself_by_its_name_and_after_a_redirect(
    server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACEMILL_ALLOW_PRIVATE")
    port = server.url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"):
        found = fetch({"uri": f"http://{host}:{port}/files/1.jpg"})
        assert isinstance(found, ReadFailure) and found.reason == "denied", host
        assert "is in a private network" in str(found)
    assert server.asked == []
    # As if this server were on the public internet, and led to one that is not.
    real = web.is_public
    monkeypatch.setattr(web, "is_public", lambda host: host == "127.0.0.1" or real(host))
    assert fetch({"uri": f"{server.url}/files/1.jpg"}) == server.files["1.jpg"]
    inside = f"{server.url}/to?http://127.0.0.2:{port}/files/1.jpg"
    assert _failure(inside)[0] == "denied"
    assert _failure(f"{server.url}/to?file:///etc/passwd")[0] in ("unreachable", "bad_uri")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("224.0.0.1", False),
        ("::1", False), ("fe80::1%eth0", False), ("fd00:ec2::254", False),
        ("::ffff:10.0.0.1", False), ("64:ff9b::a9fe:a9fe", False), ("2002:7f00:1::", False),
        ("64:ff9b::808:808", True),
    ],
)  # fmt: skip
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert web.is_public(address) == public


def test_a_local_file_among_them_is_read_as_ever(server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"local")
    rows = [{"uri": f"{tmp_path}/a.jpg"}, {"uri": f"{server.url}/files/1.jpg"}]
    assert list(fetch_all(rows)) == [b"local", server.files["1.jpg"]]
