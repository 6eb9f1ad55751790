"""What an S3 store is asked, and how it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a store answers: status, S3's code and message."""

    status: int
    code: str
    message: str = "no"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def document(self) -> bytes:
        """S3's XML of it."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message>"
            "<RequestId>4442587FB7D0A2F9</RequestId></Error>"
        ).encode()


# Codes, statuses and messages are S3's own ("Error responses" in its API reference); QuotaExceeded is Ceph's and MinIO's.
SLOW_DOWN = Refusal(503, "SlowDown", "Please reduce your request rate.")
UNAVAILABLE = Refusal(503, "ServiceUnavailable", "Service is unable to handle request.")
INTERNAL_ERROR = Refusal(500, "InternalError", "We encountered an internal error. Please try again.")
ACCESS_DENIED = Refusal(403, "AccessDenied", "Access Denied")
NOT_IMPLEMENTED = Refusal(
    501, "NotImplemented", "A header you provided implies functionality that is not implemented"
)
CLOCK_SKEWED = Refusal(
    403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."
)
QUOTA_EXCEEDED = Refusal(403, "QuotaExceeded", "The bucket's quota is exceeded.")
EXPIRED_TOKEN = Refusal(400, "ExpiredToken", "The provided token has expired.")
INVALID_TOKEN = Refusal(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
INVALID_KEY_ID = Refusal(
    403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."
)
WRONG_SIGNATURE = Refusal(
    403,
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided.",
)
NO_SUCH_BUCKET = Refusal(404, "NoSuchBucket", "The specified bucket does not exist")
NO_SUCH_UPLOAD = Refusal(404, "NoSuchUpload", "The specified upload does not exist.")
WRONG_REGION = Refusal(
    301,
    "PermanentRedirect",
    "The bucket you are attempting to access must be addressed using the specified endpoint.",
    {"x-amz-bucket-region": "us-west-2"},
)
BAD_DIGEST = Refusal(400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came. Names of headers are in lower case."""

    method: str
    path: str  # with its query, as it was sent
    headers: Mapping[str, str]
    size: int  # bytes of the body

    @property
    def query(self) -> dict[str, str]:
        """Parameters behind the question mark."""
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    @property
    def bucket(self) -> str:
        """The first part of the path."""
        return unquote(urlsplit(self.path).path).split("/")[1]

    @property
    def key(self) -> str:
        """The rest of it."""
        return "/".join(unquote(urlsplit(self.path).path).split("/")[2:])

    @property
    def operation(self) -> str:
        """What S3 calls it, such as PutObject; the method, where it is none of ours."""
        query = self.query
        sort = (
            "upload"
            if "uploadId" in query
            else "uploads"
            if "uploads" in query
            else "object"
            if self.key
            else "bucket"
        )
        return _OPERATIONS.get((self.method, sort), self.method)


_OPERATIONS = {
    ("PUT", "object"): "PutObject",
    ("GET", "object"): "GetObject",
    ("HEAD", "object"): "HeadObject",
    ("DELETE", "object"): "DeleteObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "upload"): "UploadPart",
    ("POST", "upload"): "CompleteMultipartUpload",
    ("DELETE", "upload"): "AbortMultipartUpload",
    ("GET", "upload"): "ListParts",
    ("GET", "uploads"): "ListMultipartUploads",
    ("HEAD", "bucket"): "HeadBucket",
    ("GET", "bucket"): "ListObjects",
    ("PUT", "bucket"): "CreateBucket",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and what became of it."""

    asked: Asked
    status: int
    refused: bool  # by this proxy; the store may have done it all the same
