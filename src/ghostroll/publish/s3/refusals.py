"""What a store or the line to it answered, as one sentence that says which it is and what to do: pure.

No sentence holds a key, a token, a signature, an address with a query or an account: of what the store wrote
only the error code is repeated, and only where it looks like one.
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from ghostroll.errors import ClockUnset, GhostrollError, TargetRefused, TargetUnreachable, TransientError
from ghostroll.publish.s3.place import Place

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9.]{1,60}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]|[A-Za-z0-9_-]{2,30}")

BUSY = frozenset({
    "SlowDown", "SlowDownRead", "SlowDownWrite", "Throttling", "ThrottlingException", "RequestLimitExceeded",
    "RequestThrottled", "RequestThrottledException", "TooManyRequests", "TooManyRequestsException", "Busy",
    "ServerBusy", "BandwidthLimitExceeded", "EC2ThrottledException", "503", "429",
})  # fmt: skip
_BROKEN = frozenset({
    "InternalError", "ServiceUnavailable", "ServerError", "RequestTimeout", "RequestTimeoutException", "OperationAborted",
    "XMinioServerNotInitialized", "XMinioReadQuorum", "XMinioWriteQuorum", "IncompleteBody", "GatewayTimeout",
})  # fmt: skip
_SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
_DIGEST = frozenset({
    "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch",
    "ContentSHA256Mismatch", "ChecksumMismatch",
})  # fmt: skip
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
_WRONG = frozenset({
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId", "UnrecognizedClientException",
    "InvalidSecurity", "NotSignedUp", "InvalidSecurityToken", "MissingSecurityHeader", "AuthFailure",
})  # fmt: skip
_REGIONS = frozenset({
    "PermanentRedirect", "TemporaryRedirect", "Redirect", "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
})  # fmt: skip
_FULL = frozenset({
    "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFullError", "StorageFull",
    "InsufficientStorage", "StorageQuotaExceeded", "BucketQuotaExceeded", "ServiceQuotaExceeded", "507",
    "StorageCapExceeded", "CapExceeded", "UserQuotaExceeded", "NoSpaceLeft", "InsufficientCapacity",
})  # fmt: skip
_DENIED = frozenset({
    "AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem", "UnauthorizedAccess", "Unauthorized",
    "401", "AccessForbidden", "AccountSuspended", "UserSuspended", "InvalidObjectState",
})  # fmt: skip
_CREDENTIALS = _EXPIRED | _WRONG
_NO_FILE = frozenset({errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES})

_KEYS = "give working ones in ~/.aws/credentials, in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or as the systemd credential `aws`"


def refuse(error: Exception, place: Place) -> GhostrollError:
    """What a botocore error means for the caller: goes on by itself, or a person must change something."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  # boto3 is only there once it is needed

    if isinstance(error, ClientError):
        return refuse_answer(error.response, place)
    return _refuse_line(error, place)


def refuse_answer(response: dict[str, Any], place: Place) -> GhostrollError:  # noqa: PLR0911  # one sentence per case
    """What an error answer of the store means."""
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(response.get("Error", {}).get("Code", ""))
    if code in _SKEWED:
        return ClockUnset(
            "The clock of this machine is wrong, so the store refuses its signatures: set it, "
            "`timedatectl set-ntp true` keeps it right; uploads then go on by themselves."
        )
    if code in _DIGEST:
        return TransientError("The store received other bytes than were sent; they are sent again.")
    if code in BUSY or status in (429, 503):
        return TargetUnreachable(
            f"{place.host} asks for fewer requests; uploads go on by themselves, more slowly."
        )
    if code in _FULL or status == 507:
        return TargetRefused(
            f"The bucket {place.bucket} is full, its quota is used up: make room or raise the quota; uploads then go on."
        )
    if 300 <= status < 400 and not _is_elsewhere(code, response):
        return say_no_store(place)
    if code in _BROKEN or (status >= 500 and status != 501):
        return TargetUnreachable(
            f"{place.host} has a fault of its own ({_say(code, status)}); uploads go on by themselves."
        )
    return TargetRefused(_say_refusal(code, status, response, place))


def concerns_credentials(error: Exception) -> bool:
    """Whether the keys were wrong, expired or missing, so that they should be read anew before the next try."""
    from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError  # noqa: PLC0415  # as above

    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code") in _CREDENTIALS
    return isinstance(error, NoCredentialsError | PartialCredentialsError) or _is_about_credentials(error)


def means_overload(error: Exception) -> bool:
    """Whether fewer requests at once may help: the store said so, or did not answer in time."""
    from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError  # noqa: PLC0415  # as above

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error.response.get("Error", {}).get("Code") in BUSY or status in (429, 503)
    return isinstance(error, ReadTimeoutError | ConnectTimeoutError)


def _say_refusal(code: str, status: int, response: dict[str, Any], place: Place) -> str:  # noqa: PLR0911  # one sentence per case
    if code in _EXPIRED:
        return f"The credentials for the bucket {place.bucket} have expired: {_KEYS}."
    if code in _WRONG:
        return f"The credentials for the bucket {place.bucket} are wrong ({_say(code, status)}): {_KEYS}."
    if code == "NoSuchBucket":
        return f"There is no bucket {place.bucket} at {place.host}: make it, or correct publish.s3.bucket."
    if _is_elsewhere(code, response):
        return _say_region(response, place)
    if code in _DENIED or status in (401, 403):
        return (
            f"The bucket {place.bucket} may not be written to with these credentials ({_say(code, status)}): "
            "give them the permissions in docs/s3.md."
        )
    if code in ("NotImplemented", "MethodNotAllowed") or status in (405, 501):
        return f"{place.host} doesn't know a request that ghostroll needs ({_say(code, status)}): choose another store."
    if status == 404:
        return f"{place.host} knows no such place: correct publish.s3.bucket and publish.s3.endpoint_url."
    return f"{place.host} refuses an upload to the bucket {place.bucket} ({_say(code, status)}): `ghostroll doctor` looks at the bucket."


def _is_elsewhere(code: str, response: dict[str, Any]) -> bool:
    """Whether the bucket is in another region; a HEAD says so by its status and a header alone."""
    metadata = response.get("ResponseMetadata", {})
    is_led_there = int(metadata.get("HTTPStatusCode", 0)) in (301, 307) and (
        "x-amz-bucket-region" in metadata.get("HTTPHeaders", {})
    )
    return code in _REGIONS or is_led_there


def say_no_store(place: Place) -> TargetUnreachable:
    """Something else answers in the store's place."""
    return TargetUnreachable(
        f"What answers for {place.host} is no S3 store, perhaps a network's login page; "
        "uploads go on by themselves once it is passed."
    )


def _say_region(response: dict[str, Any], place: Place) -> str:
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = str(headers.get("x-amz-bucket-region") or response.get("Error", {}).get("Region") or "")
    remedy = (
        f'set publish.s3.region to "{region}"'
        if _REGION.fullmatch(region)
        else "set publish.s3.region to its own"
    )
    return f"The bucket {place.bucket} is in another region: {remedy}."


def _say(code: str, status: int) -> str:
    return code if _CODE.fullmatch(code) else f"HTTP {status}"


def _refuse_line(error: Exception, place: Place) -> GhostrollError:  # noqa: PLR0911  # one sentence per case
    """What an error of the line, of TLS or of the credentials' own chain means."""
    import botocore.exceptions as known  # noqa: PLC0415  # as above
    from botocore.parsers import ResponseParserError  # noqa: PLC0415  # as above

    host = place.host
    goes_on = "uploads go on by themselves"
    match error:
        case known.NoCredentialsError() | known.PartialCredentialsError():
            return TargetRefused(f"There are no credentials for the bucket {place.bucket}: {_KEYS}.")
        case known.SSLError():
            return _refuse_tls(error, place)
        case known.ProxyConnectionError():
            return TargetUnreachable(f"The proxy on the way to {host} can't be reached; {goes_on}.")
        case known.ConnectTimeoutError() | known.ReadTimeoutError():
            return TargetUnreachable(f"{host} does not answer in time; {goes_on}.")
        case known.HTTPClientError() if (unwritten := _refuse_unwritten(error, place)) is not None:
            return unwritten
        case known.ConnectionClosedError() | known.EndpointConnectionError() | known.HTTPClientError():
            return TargetUnreachable(f"{_say_line(error, host)}; {goes_on}.")
        case known.IncompleteReadError():
            return TargetUnreachable(f"The connection to {host} was cut; {goes_on}.")
        case ResponseParserError():
            return say_no_store(place)
        case _ if _is_about_credentials(error):
            return _refuse_chain(error, place)
        case _:
            return _refuse_configuration(error, place)


def _refuse_configuration(error: Exception, place: Place) -> GhostrollError:
    if isinstance(error.__cause__, ValueError) and place.endpoint_url:
        return TargetRefused("publish.s3.endpoint_url is no address of a store: correct it.")
    kind = type(error.__cause__ or error).__name__
    return TargetRefused(
        f"The bucket {place.bucket} can't be used as it is configured ({kind}): "
        "check publish.s3, the AWS_* environment and ~/.aws/config."
    )


def _refuse_chain(error: Exception, place: Place) -> GhostrollError:
    """What stopped whoever gives out the credentials: a machine of its own, so that the store is not named for it."""
    from botocore.exceptions import ClientError  # noqa: PLC0415  # as above

    cause = error.__cause__ if isinstance(error.__cause__, Exception) else None
    why = type(cause or error).__name__
    if isinstance(cause, ClientError):
        answer = cause.response
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        why = _say(str(answer.get("Error", {}).get("Code", "")), status)
    if isinstance(cause, RuntimeError) and "still expired" in str(cause):
        return TargetRefused(
            f"The credentials for the bucket {place.bucket} have expired, or this machine's clock is ahead: {_KEYS}."
        )
    match None if cause is None else refuse(cause, place):
        case ClockUnset():
            return ClockUnset(
                f"The clock of this machine is wrong, so that it gets no credentials for the bucket {place.bucket}: "
                "set it; uploads then go on by themselves."
            )
        case TargetUnreachable():
            return TargetUnreachable(
                f"Who gives out the credentials for the bucket {place.bucket} can't be reached; uploads go on by themselves."
            )
        case _:
            return TargetRefused(
                f"The credentials for the bucket {place.bucket} can't be had ({why}): {_KEYS}."
            )


def _refuse_unwritten(error: Exception, place: Place) -> GhostrollError | None:
    """A request that could not even be begun: only a token and a proxy's address come from outside unread.

    Where there is no proxy such an error is one of an answer that makes no sense.
    """
    from urllib.request import getproxies_environment  # noqa: PLC0415  # 20 ms that are botocore's otherwise

    values = [one for one in _walk(error) if isinstance(one, ValueError)]
    if any("header value" in str(one) for one in values):
        return TargetRefused(
            f"The credentials for the bucket {place.bucket} hold a line end or another sign that none has: {_KEYS}."
        )
    if values and getproxies_environment():
        return TargetRefused(
            "HTTPS_PROXY or HTTP_PROXY is no address of a proxy: correct it, or take it away."
        )
    return None


def _refuse_tls(error: Exception, place: Place) -> GhostrollError:
    reasons = [
        str(one.verify_message) for one in _walk(error) if isinstance(one, ssl.SSLCertVerificationError)
    ]
    text = " ".join(reasons) or str(error)
    if "not yet valid" in text:
        return ClockUnset(
            f"The certificate of {place.host} is not valid yet, so this machine's clock is behind: set it; "
            "uploads then go on by themselves."
        )
    if "has expired" in text:
        return TargetRefused(
            f"The certificate of {place.host} has expired, or this machine's clock is ahead: have it renewed, or set the clock."
        )
    if reasons or "CERTIFICATE_VERIFY_FAILED" in text:
        return TargetRefused(
            f"The certificate of {place.host} can't be trusted: correct publish.s3.endpoint_url, or name its authority "
            "in AWS_CA_BUNDLE."
        )
    if any(_is_about_authorities(one) for one in _walk(error)):
        return TargetRefused(
            "The certificates of authorities that AWS_CA_BUNDLE names, or ca_bundle in ~/.aws/config, can't be read: correct it."
        )
    return TargetUnreachable(f"No TLS connection to {place.host} comes about; uploads go on by themselves.")


def _is_about_authorities(error: BaseException) -> bool:
    """Whether what was to be trusted could not be read: a file that is not there, or holds something else."""
    if isinstance(error, ssl.SSLError):
        return getattr(error, "reason", "") == "NO_CERTIFICATE_OR_CRL_FOUND" or (
            getattr(error, "library", "") == "PEM"
        )
    return isinstance(error, OSError) and error.errno in _NO_FILE


def _say_line(error: Exception, host: str) -> str:
    from urllib3.exceptions import NameResolutionError  # noqa: PLC0415  # as above

    numbers = {one.errno for one in _walk(error) if isinstance(one, OSError)}
    if any(isinstance(one, socket.gaierror | NameResolutionError) for one in _walk(error)):
        return f"The name {host} can't be resolved: there is no network, or its DNS does not answer"
    if numbers & {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}:
        return f"There is no network to {host}"
    if errno.ECONNREFUSED in numbers:
        return f"{host} refuses connections"
    cut = (
        ConnectionResetError,
        ConnectionAbortedError,
        BrokenPipeError,
    )  # one of them also for an end in order
    if numbers & {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED} or any(
        isinstance(one, cut) for one in _walk(error)
    ):
        return f"The connection to {host} was cut"
    return f"{host} can't be reached"


def _is_about_credentials(error: Exception) -> bool:
    import botocore.exceptions as known  # noqa: PLC0415  # as above

    return isinstance(
        error,
        known.CredentialRetrievalError | known.RefreshWithMFAUnsupportedError | known.ConfigNotFound
        | known.MetadataRetrievalError | known.ProfileNotFound | known.ConfigParseError | known.SSOError,
    )  # fmt: skip


def _walk(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from, as botocore and urllib3 keep them."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        kept = (
            one.__cause__,
            one.__context__,
            *one.args,
            getattr(one, "kwargs", {}).get("error"),
            getattr(one, "reason", None),
        )
        waiting.extend(found for found in kept if isinstance(found, BaseException))
