"""What a store answers, as a sentence that says which fault it is and what becomes of the work."""

import errno
import socket
import ssl
from typing import Any
from urllib.request import getproxies_environment

import botocore.exceptions as known
import pytest
from botocore.parsers import ResponseParserError
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProtocolError

from ghostroll.errors import ClockUnset, GhostrollError, TargetRefused, TargetUnreachable, TransientError
from ghostroll.publish.s3.place import Place
from ghostroll.publish.s3.refusals import concerns_credentials, means_overload, refuse

PLACE = Place("weddings", endpoint_url="https://store.example")
SECRETS = ("AKIDSECRETSECRET", "tok/en+secret", "deadbeefsignature", "123456789012", "X-Amz-")


def _answer(code: str, status: int, **more: Any) -> known.ClientError:
    """An error answer that says more than anybody should read."""
    leaky = f"User arn:aws:iam::123456789012:user/x key AKIDSECRETSECRET token tok/en+secret deadbeefsignature {code}"
    error = {"Code": code, "Message": leaky, "AWSAccessKeyId": "AKIDSECRETSECRET", **more.pop("error", {})}
    return known.ClientError(
        {
            "Error": error,
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": more.get("headers", {})},
        },
        "PutObject",
    )


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine at hand goes through is no matter of these sentences."""
    for name in getproxies_environment():
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.mark.parametrize(
    ("code", "status", "kind", "words"),
    [
        ("SlowDown", 503, TargetUnreachable, "fewer requests"),
        ("Throttling", 400, TargetUnreachable, "fewer requests"),
        ("", 429, TargetUnreachable, "fewer requests"),
        ("InternalError", 500, TargetUnreachable, "fault of its own"),
        ("502", 502, TargetUnreachable, "HTTP 502"),
        ("RequestTimeout", 400, TargetUnreachable, "fault of its own"),
        ("InvalidAccessKeyId", 403, TargetRefused, "are wrong"),
        ("SignatureDoesNotMatch", 403, TargetRefused, "are wrong"),
        ("ExpiredToken", 400, TargetRefused, "have expired"),
        ("AccessDenied", 403, TargetRefused, "docs/s3.md"),
        ("403", 403, TargetRefused, "docs/s3.md"),
        ("NoSuchBucket", 404, TargetRefused, "no bucket weddings"),
        ("404", 404, TargetRefused, "publish.s3.bucket"),
        ("QuotaExceeded", 403, TargetRefused, "is full"),
        ("XMinioStorageFull", 507, TargetRefused, "is full"),
        ("Whatever", 507, TargetRefused, "is full"),
        ("RequestTimeTooSkewed", 403, ClockUnset, "clock"),
        ("BadDigest", 400, TransientError, "sent again"),
        ("XAmzContentSHA256Mismatch", 400, TransientError, "sent again"),
        ("NotImplemented", 501, TargetRefused, "another store"),
        ("MethodNotAllowed", 405, TargetRefused, "another store"),
        ("InvalidBucketName", 400, TargetRefused, "ghostroll doctor"),
        ("<b>AKIDSECRETSECRET</b>", 400, TargetRefused, "HTTP 400"),
    ],
)
def test_answers_say_which_fault_it_is(
    code: str, status: int, kind: type[GhostrollError], words: str
) -> None:
    """Each code becomes what the caller must do, in one sentence without anything that the store wrote beside it."""
    found = refuse(_answer(code, status), PLACE)
    assert type(found) is kind
    assert words in str(found)
    assert not [secret for secret in SECRETS if secret in repr(found)]
    assert str(found).endswith(".")
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    ("region", "said"),
    [("eu-central-1", 'publish.s3.region to "eu-central-1"'), ("", "to its own"), ("x\ny", "to its own")],
)
def test_another_region_is_named_where_the_store_names_it(region: str, said: str) -> None:
    """A bucket elsewhere is a person's matter; a region is only repeated if it looks like one."""
    for error in (
        _answer("PermanentRedirect", 301, headers={"x-amz-bucket-region": region}),
        _answer("AuthorizationHeaderMalformed", 400, error={"Region": region}),
    ):
        found = refuse(error, PLACE)
        assert isinstance(found, TargetRefused)
        assert said in str(found)


def test_a_head_led_elsewhere_names_the_region_by_its_header() -> None:
    """A HEAD's answer has no body: status and header are all there is."""
    found = refuse(_answer("301", 301, headers={"x-amz-bucket-region": "us-west-2"}), PLACE)
    assert isinstance(found, TargetRefused)
    assert "us-west-2" in str(found)


def test_a_redirect_to_a_login_page_is_no_region() -> None:
    """A hotel's network leads every request to its page: that passes by itself."""
    for status in (301, 302, 303, 307, 308):
        found = refuse(_answer(str(status), status), PLACE)
        assert isinstance(found, TargetUnreachable)
        assert "login page" in str(found)


def _wrapped(reason: Exception) -> known.EndpointConnectionError:
    error = NewConnectionError(None, "failed")  # type: ignore[arg-type]
    error.__cause__ = reason
    return known.EndpointConnectionError(
        endpoint_url="https://u/?X-Amz-Signature=deadbeefsignature", error=error
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (_wrapped(OSError(errno.ECONNREFUSED, "x")), "refuses connections"),
        (_wrapped(OSError(errno.ENETUNREACH, "x")), "no network"),
        (_wrapped(socket.gaierror(-2, "x")), "can't be resolved"),
        (
            known.EndpointConnectionError(
                endpoint_url="https://u",
                error=NameResolutionError("h", None, socket.gaierror(-3, "x")),  # type: ignore[arg-type]
            ),
            "can't be resolved",
        ),
        (_wrapped(OSError(errno.EIO, "x")), "can't be reached"),
        (known.ConnectTimeoutError(endpoint_url="https://u"), "does not answer in time"),
        (known.ReadTimeoutError(endpoint_url="https://u"), "does not answer in time"),
        (
            known.ConnectionClosedError(
                endpoint_url="https://u",
                error=ProtocolError("aborted", ConnectionResetError(errno.ECONNRESET, "x")),
            ),
            "was cut",
        ),
        (
            known.HTTPClientError(error=ProtocolError("chunk", ValueError("no hexadecimal"))),
            "can't be reached",
        ),
        (known.ProxyConnectionError(proxy_url="http://p"), "proxy"),
        (ResponseParserError("<html>"), "no S3 store"),
        (known.SSLError(endpoint_url="https://u", error=ssl.SSLEOFError(8, "EOF")), "No TLS connection"),
    ],
)
def test_faults_of_the_line_go_on_by_themselves(error: Exception, words: str) -> None:
    """Whatever lies between here and the store is named, and waited for."""
    found = refuse(error, PLACE)
    assert type(found) is TargetUnreachable
    assert words in str(found)
    assert "uploads go on by themselves" in str(found)
    assert not [secret for secret in SECRETS if secret in repr(found)]


def _certificate(message: str) -> known.SSLError:
    reason = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    reason.verify_message = message
    return known.SSLError(endpoint_url="https://u", error=reason)


def test_certificates_tell_a_wrong_clock_from_a_wrong_store() -> None:
    """A certificate of the future means that this clock is behind; others that a person must look."""
    assert type(refuse(_certificate("certificate is not yet valid"), PLACE)) is ClockUnset
    assert "has expired" in str(refuse(_certificate("certificate has expired"), PLACE))
    assert "AWS_CA_BUNDLE" in str(refuse(_certificate("self-signed certificate"), PLACE))
    assert type(refuse(_certificate("self-signed certificate"), PLACE)) is TargetRefused


def test_missing_credentials_say_where_they_can_be_given() -> None:
    """No keys, half of them, or a profile that is not there: a person gives them, and they are read anew."""
    for error in (
        known.NoCredentialsError(),
        known.PartialCredentialsError(provider="env", cred_var="secret"),
        known.ProfileNotFound(profile="x"),
        known.CredentialRetrievalError(provider="p", error_msg="tok/en+secret"),
    ):
        found = refuse(error, PLACE)
        assert type(found) is TargetRefused
        assert "~/.aws/credentials" in str(found)
        assert "tok/en+secret" not in repr(found)
        assert concerns_credentials(error)


def test_a_token_with_a_line_end_is_a_wrong_token() -> None:
    """Keys that no header can carry are for a person to correct; the network is not blamed, and nothing of them is said."""
    error = known.HTTPClientError(error=ValueError("Invalid header value b'tok/en+secret\\n'"))
    error.__cause__ = ValueError("Invalid header value b'tok/en+secret\\n'")
    refused = refuse(error, PLACE)
    assert isinstance(refused, TargetRefused)
    assert "line end" in str(refused)
    assert not any(secret in str(refused) for secret in SECRETS)


def test_unknown_configuration_faults_name_their_kind() -> None:
    """What boto3 can't use is refused by the name of its error, never by its text."""
    found = refuse(known.InvalidRegionError(region_name="AKIDSECRETSECRET"), PLACE)
    assert type(found) is TargetRefused
    assert "InvalidRegionError" in str(found)
    assert "AKIDSECRETSECRET" not in repr(found)


def test_only_wrong_keys_are_read_anew_and_only_overload_eases() -> None:
    """A refusal of rights keeps the client; a refusal of keys doesn't; SlowDown and silence ask for fewer requests."""
    assert concerns_credentials(_answer("ExpiredToken", 400))
    assert not concerns_credentials(_answer("AccessDenied", 403))
    assert means_overload(_answer("SlowDown", 503))
    assert means_overload(known.ReadTimeoutError(endpoint_url="u"))
    assert not means_overload(_answer("InternalError", 500))
    assert not means_overload(_wrapped(OSError(errno.ECONNREFUSED, "x")))
