"""What a store answers is told in the words that a user needs, and no wait is spent on it."""

import datetime as dt
import os
import pickle
import re
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from model.errors import StorageError
from pipelines import storage
from pipelines.scoring.worker import with_retries
from pipelines.storage.store_errors import REGION, StoreFaultError
from tests.answering_store import answering, handler, served


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (301, "PermanentRedirect", "bucket 'faces' is not in region us-east-1: set AWS_REGION"),
        (403, "AccessDenied", "access to bucket 'faces' at ENDPOINT is denied: check "
         "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy; where its owner lets "
         "requesters pay, set AWS_REQUEST_PAYER=true"),
        (403, "", "access to bucket 'faces' at ENDPOINT is denied: check "),
        (400, "ExpiredToken", "the credentials have expired: renew them"),
        (403, "RequestTimeTooSkewed", "this machine's clock is more than 15 minutes off: set it"),
        (400, "InvalidBucketName", "this is not a valid bucket name"),
        (400, "Strange", "the store at ENDPOINT: it answers 400 Bad Request (Strange)"),
        (407, "", "the store at ENDPOINT: it answers 407 Proxy Authentication Required"),
        (503, "SlowDown", "the store at ENDPOINT: it answers 503 Service Unavailable; run the sa"),
    ],
)  # fmt: skip
def test_what_a_store_answers_is_told_by_its_status_not_by_what_the_url_holds(
    status: int, code: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = "s3://faces/redirect/403" + "x" * 200  # and obstore's text begins with the URL
    with served(answering(status, code), monkeypatch), pytest.raises(StorageError) as error:
        storage.require_readable(prefix, "`images`")
    told = re.sub(r"http://127.0.0.1:\d+", "ENDPOINT", str(error.value))
    assert told.startswith(f"`images` {prefix}: {reason}")


EXPIRED = "the credentials have expired: renew them, then run the same command again"
CLOCK = "this machine's clock is more than 15 minutes off: set it, then run the same command again"


@pytest.mark.parametrize(
    ("scheme", "status", "code", "message", "reason"),
    [
        ("s3", 400, "ExpiredToken", "no", EXPIRED),
        ("s3", 400, "InvalidRequest", "no", "no"),
        ("s3", 400, "KMS.DisabledException", "no", "no"),
        ("s3", 400, "TokenRefreshRequired", "no", EXPIRED),
        ("s3", 400, "AuthorizationHeaderMalformed", "no", REGION),
        ("s3", 403, "InvalidObjectState", "no", "the object is archived (Glacier): restore it fir"),
        ("s3", 403, "RequestTimeTooSkewed", "no", CLOCK),
        ("az", 403, "AuthenticationFailed", "Signature not valid in the specified time frame",
         EXPIRED),
        ("az", 403, "AuthenticationFailed", "Request date header too old", CLOCK),
        ("az", 409, "BlobArchived", "no", "the object is archived: restore it first"),
        ("az", 403, "AccountIsDisabled", "no", "the store has disabled this account"),
        ("gs", 400, "UserProjectMissing", "no", "its owner lets requesters pay, which"),
        ("gs", 401, "AuthenticationRequired", "no", "the credentials are missing or have expired"),
    ],
)  # fmt: skip
def test_what_a_store_says_of_one_object_is_told_with_its_cure(
    scheme: str, status: int, code: str, message: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{scheme}://faces/1.jpg"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmcga2V5")
    with served(answering(status, code, message), monkeypatch) as address:
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{address}/account")
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        with pytest.raises(PermissionError) as error:
            storage.read_bytes(uri)
    assert str(error.value).startswith(f"{uri}: {reason}")
    assert str(error.value).endswith(f"<Code>{code}</Code>")


def test_google_s_address_without_a_scheme_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "localhost:4443")
    with pytest.raises(StorageError, match="is no URL: write http://localhost:4443"):
        storage.read_bytes("gs://faces/1.jpg")


def test_expired_credentials_and_the_like_are_told_at_once_and_not_after_minutes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for status, code in ((400, "ExpiredToken"), (403, "RequestTimeTooSkewed"), (301, "")):
        started = time.monotonic()
        with (
            served(answering(status, code), monkeypatch),
            pytest.raises(PermissionError, match=r"set AWS_REGION|run the same command again"),
        ):
            with_retries(lambda: storage.read_bytes("s3://faces/1.jpg"), timeout_s=180)
        assert time.monotonic() - started < 5


def test_nobody_without_keys_is_told_how_to_read_a_public_bucket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://169.254.169.254:9")  # answers nowhere
    with served(answering(403, "AccessDenied"), monkeypatch):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        with pytest.raises(StorageError) as error:
            storage.require_readable("s3://faces/x", "`images`")
        assert str(error.value) == (
            "`images` s3://faces/x: there are no credentials: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for a public bucket"
        )
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        with pytest.raises(StorageError, match=r"access to bucket 'faces' at .* is denied: check"):
            storage.require_readable("s3://faces/x", "`images`")


def test_a_page_for_people_is_no_empty_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """MinIO's console, or the page where a network wants one to log in."""
    page = b"<!DOCTYPE html><html><body>Log in</body></html>"
    shown = handler(lambda _: (200, {"Content-Type": "text/html"}, page))
    with (
        served(shown, monkeypatch),
        pytest.raises(StorageError, match="is not an S3 store, because it claims to have"),
    ):
        storage.require_readable("s3://faces/x", "`images`")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://127.0.0.1:9", "connection refused"),
        ("http://no-such-host.invalid:9000", "unknown host"),
    ],
)
def test_why_no_store_is_there_is_told(
    address: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(StorageError) as error:
        storage.require_readable("s3://faces/x", "`images`")
    assert str(error.value) == (
        f"`images` s3://faces/x: the store at {address} cannot be reached ({why}): check "
        "AWS_ENDPOINT_URL and the network"
    )


def test_a_fault_outlives_the_way_from_a_worker() -> None:
    error = pickle.loads(pickle.dumps(StoreFaultError("s3://b/x: no", "connection refused")))
    assert (str(error), error.fault) == ("s3://b/x: no", "connection refused")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"])
def test_a_line_break_at_a_secret_s_end_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(answering(200, ""), monkeypatch):
        monkeypatch.setenv(name, os.environ[name] + "\n")
        with pytest.raises(StorageError) as error:
            storage.require_readable("s3://faces/x", "`images`")
    assert str(error.value) == (
        f"{name} has white space around it, such as a line break: set it without"
    )


def test_a_certificate_of_one_s_own_is_told_and_taken_by_ssl_cert_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, chain = _certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with served(answering(403, "AccessDenied"), monkeypatch, context) as address:
        monkeypatch.setenv(
            "AWS_ENDPOINT_URL", address.replace("http://127.0.0.1", "https://localhost")
        )
        with pytest.raises(StorageError, match="signed by an unknown authority: set SSL_CERT_FILE"):
            storage.require_readable("s3://faces/x", "`images`")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        with pytest.raises(StorageError, match="access to bucket 'faces' at https://localhost"):
            storage.require_readable("s3://faces/x", "`images`")


def _certificates(folder: Path) -> tuple[Path, Path]:
    """Files of an authority of our own, and of a key and its certificate for localhost."""
    now = dt.datetime.now(dt.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("ours", "host")
    ]
    made = list[x509.Certificate]()
    for number, key in enumerate(keys):
        builder = x509.CertificateBuilder(
            issuer_name=names[0], subject_name=names[number], public_key=key.public_key(),
            serial_number=x509.random_serial_number(), not_valid_before=now - dt.timedelta(1),
            not_valid_after=now + dt.timedelta(1),
        )  # fmt: skip
        constraints = x509.BasicConstraints(ca=number == 0, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
        if number:
            host = x509.SubjectAlternativeName([x509.DNSName("localhost")])
            builder = builder.add_extension(host, critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()))
    pem = serialization.Encoding.PEM
    (folder / "ours.pem").write_bytes(made[0].public_bytes(pem))
    private = keys[1].private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "host.pem").write_bytes(private + made[1].public_bytes(pem))
    return folder / "ours.pem", folder / "host.pem"
