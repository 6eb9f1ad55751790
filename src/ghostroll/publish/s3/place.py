"""Where in the world the objects lie, as the configuration says it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

MOST_THREADS = 16  # where their number follows the line


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket, and how it is reached. Empty strings leave the choice to boto3.

    `bandwidth_mbit` 0 is no limit; `threads` 0 lets their number follow the line, up to 16;
    `addressing` is "auto", "virtual" or "path".
    """

    bucket: str
    prefix: str = ""
    region: str = ""
    endpoint_url: str = ""
    base_url: str = ""
    addressing: str = "auto"
    bandwidth_mbit: int = 0
    threads: int = 0

    @property
    def identity(self) -> str:
        """Where the objects lie, to be kept and compared: no secret in it, and nothing about how they get there."""
        parts = urlsplit(self.endpoint_url)
        host = parts.netloc.rpartition("@")[2] + parts.path.rstrip("/")
        where = f"{parts.scheme}://{host}" if host else "AWS"
        return f"s3://{'/'.join(part for part in (self.bucket, self.prefix.strip('/')) if part)} at {where}"

    @property
    def host(self) -> str:
        """The name of the machine that answers, for sentences; "Amazon S3" where boto3 chooses it."""
        return urlsplit(self.endpoint_url).netloc.rpartition("@")[2] or "Amazon S3"

    @property
    def is_public(self) -> bool:
        """Whether everybody may read what is published, under `base_url`."""
        return bool(self.base_url)

    @property
    def most_threads(self) -> int:
        """How many requests are under way at most."""
        return self.threads or MOST_THREADS
