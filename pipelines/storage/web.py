"""Pictures of the web, by a polite client: few connections a host, few tries, limits on everything.

A list of addresses is not to be trusted: one that leads to a private network, where it might reach
what only this machine may see, is refused, also after a redirect and whatever its name resolves to.
FACEMILL_ALLOW_PRIVATE=1 in the environment allows it.
"""

import functools
import ipaddress
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    HTTPError,
    LocationValueError,
    MaxRetryError,
    NewConnectionError,
    ResponseError,
    SSLError,
)
from urllib3.util.connection import create_connection

from pipelines.storage.entries import ReadFailure, is_web

_A_HOST = 4  # connections at once, of each worker
_HOSTS = 64  # whose connections are kept
_TRIES, _REDIRECTS = 3, 5
_WAIT_S, _MOST_WAIT_S = 1, 5  # before the second try; and that a host may ask for
_RESTED_S = 60  # for which a host that stayed busy is asked only once an image
_CONNECT_S, _READ_S, _WHOLE_S = 10, 30, 120
_PART = 1 << 20
_HEADERS = {
    "User-Agent": "facemill/0.1",
    "Accept": "image/*,*/*;q=0.5",
    "Accept-Encoding": "identity",  # what is packed once more might be a bomb
}
_BUSY = (429, 500, 502, 503, 504)
_REASONS = {401: "denied", 403: "denied", 404: "not_found", 410: "not_found", 451: "denied"}
_TRIED_OTHERS = 4
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # holds an IPv4 address in its last four bytes
_REMEMBERED, _STILL_S = 8, 10  # hosts that answered; and for how long one proves that it does
_busy_until = dict[str, float]()  # host -> until when it is asked once
_answered = dict[str, tuple[str, float]]()  # host -> an address of it, and when it answered


class PrivateAddressError(Exception):
    """A name leads to an address that is not of the public internet."""


def get(uri: str, max_bytes: int, others: Sequence[Mapping[str, Any]] = ()) -> bytes | ReadFailure:
    """The bytes at an address, or what is wrong with it.

    Args:
        uri: http:// or https://.
        max_bytes: that are read.
        others: rows by which is told whether a host or the whole network is silent.

    Raises:
        OSError: nothing of the web answers.
    """
    try:
        host = urlsplit(uri).netloc
    except ValueError as error:
        return ReadFailure("bad_uri", f"{uri} is not an address: {error}")
    tries: Any = {}
    if _busy_until.get(host, 0.0) > time.monotonic():
        once = _Retry(_REDIRECTS, connect=0, read=0, status=0, raise_on_status=False)
        tries = {"retries": once}
    try:
        response = _client().request(
            "GET", uri, headers=_HEADERS, preload_content=False, decode_content=False, **tries
        )
    except PrivateAddressError as error:
        return ReadFailure("denied", str(error))
    except LocationValueError as error:
        return ReadFailure("bad_uri", f"{uri} is not an address: {error}")
    except MaxRetryError as error:
        return _failed(uri, error.reason, others)
    except HTTPError as error:
        return _failed(uri, error, others)
    _remember(uri)
    if response.status in _BUSY:
        _busy_until[host] = time.monotonic() + _RESTED_S
    try:
        if response.status != 200:
            reason = _REASONS.get(response.status, "unreachable")
            return ReadFailure(reason, f"{uri} was answered with HTTP {response.status}")
        return _body(uri, response, max_bytes)
    except HTTPError as error:
        return ReadFailure("unreachable", f"{uri} broke off: {_told(error)}")
    finally:
        response.close()
        response.release_conn()  # of what was not read to its end, else it were lost to the pool


def _body(uri: str, response: Any, max_bytes: int) -> bytes | ReadFailure:
    """What a host sends, as far as it is not too much and does not take too long."""
    parts, size, ends = list[bytes](), 0, time.monotonic() + _WHOLE_S
    while part := response.read(_PART):
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            text = f"{uri} has more than {max_bytes:,} bytes, the largest image that is read"
            return ReadFailure("file_too_large", text)
        if time.monotonic() > ends:
            return ReadFailure("unreachable", f"{uri} took more than {_WHOLE_S} seconds")
    return b"".join(parts)


def _failed(
    uri: str, error: BaseException | None, others: Sequence[Mapping[str, Any]]
) -> ReadFailure:
    """What to say of a host that does not answer.

    Raises:
        OSError: no other host answers either.
    """
    if isinstance(error, SSLError):
        return ReadFailure("unreachable", f"{uri} has no valid certificate: {_told(error)}")
    if not isinstance(error, ResponseError) and not _answers_another(uri, others):
        raise OSError(f"{uri} cannot be reached, nor any other host: {_told(error)}")
    return ReadFailure("unreachable", f"{uri} cannot be reached: {_told(error)}")


def _remember(uri: str) -> None:
    """Note that the host of an address answers."""
    host = urlsplit(uri).netloc
    _answered.pop(host, None)
    _answered[host] = (uri, time.monotonic())
    for old in list(_answered)[:-_REMEMBERED]:
        _answered.pop(old, None)


def _answers_another(uri: str, others: Sequence[Mapping[str, Any]]) -> bool:
    """Whether another host answers: one that did before, or one of a shard's; whatever it says."""
    known = {host: place for host, (place, _) in list(_answered.items())}
    shard = [str(other["uri"]) for other in others if is_web(str(other["uri"]))]
    uris = {urlsplit(other).netloc: other for other in shard} | known
    uris.pop(urlsplit(uri).netloc, None)
    for host, other in list(uris.items())[-_TRIED_OTHERS:]:
        if time.monotonic() - _answered.get(host, ("", -_STILL_S))[1] < _STILL_S:
            return True
        try:
            _client().request("HEAD", other, headers=_HEADERS, retries=False)
        except (HTTPError, PrivateAddressError):
            continue
        _remember(other)
        return True
    return False


def _told(error: BaseException | None) -> str:
    """An error of urllib3's without the name of an object, nor what an address asks for."""
    text = re.sub(r"\?\S+", "", str(error).partition("\n")[0])
    text = re.sub(r"^<?[\w.]*(Connection|Pool)\w*\(.*?\)>?: ", "", text)
    return text[:200]


class _Retry(urllib3.Retry):
    """Waits as long as a host asks for, if that is not too long."""

    def get_retry_after(self, response: Any) -> float | None:
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, _MOST_WAIT_S)


@functools.cache
def _client() -> urllib3.PoolManager:
    retry = _Retry(
        total=_TRIES + _REDIRECTS, connect=_TRIES - 1, read=_TRIES - 1, status=_TRIES - 1,
        redirect=_REDIRECTS, status_forcelist=_BUSY, backoff_factor=_WAIT_S,
        backoff_max=_MOST_WAIT_S, raise_on_status=False, raise_on_redirect=True,
    )  # fmt: skip
    client = urllib3.PoolManager(
        _HOSTS, maxsize=_A_HOST, block=True, retries=retry,
        timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S),
    )  # fmt: skip
    pools: Any = {"http": _HTTPPool, "https": _HTTPSPool}
    client.pool_classes_by_scheme = pools
    return client


def _connect(connection: Any) -> socket.socket:
    """A connection to an address that is looked at itself, not to a name that may change.

    Raises:
        PrivateAddressError: the host is in a private network.
    """
    host, port = str(connection.host).strip("[]"), connection.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NewConnectionError(connection, f"unknown host ({error})") from None
    addresses = [str(place[0]) for *_, place in found]
    if os.environ.get("FACEMILL_ALLOW_PRIVATE") != "1" and not all(map(is_public, addresses)):
        raise PrivateAddressError(
            f"{host} is in a private network ({addresses[0]}), which a list may not name; "
            "FACEMILL_ALLOW_PRIVATE=1 in the environment allows it"
        )
    why = ""
    for address in addresses:
        try:
            return create_connection((address, port), connection.timeout)
        except OSError as error:
            why = str(error)
    raise NewConnectionError(connection, f"it does not answer ({why})")


def is_public(host: str) -> bool:
    """Whether an IP address is of the public internet."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return address.is_global and not address.is_multicast


class _HTTP(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _HTTPS(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connect(self)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls: Any = _HTTP  # its type is a protocol that urllib3's own class does not meet


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls: Any = _HTTPS
