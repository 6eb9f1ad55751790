"""The one boto3 client, told how to talk to any S3-compatible store."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from ghostroll.publish.s3.credentials import guard_credentials
from ghostroll.publish.s3.place import Place

ATTEMPTS = 3
CONNECT_SECONDS = 5  # also what one piece may take to leave
READ_SECONDS = 20
_CREDENTIALS = "aws"  # the name of the systemd credential: an INI like ~/.aws/credentials
_LOUD = ("boto3", "botocore", "urllib3")


def find_credentials_file(environ: Mapping[str, str]) -> str | None:
    """The systemd credential that holds keys, unless the environment names a file of its own."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder or environ.get("AWS_SHARED_CREDENTIALS_FILE"):
        return None
    path = os.path.join(folder, _CREDENTIALS)
    return path if os.path.isfile(path) else None


def make_session(place: Place, environ: Mapping[str, str]) -> Any:
    """A boto3 session with boto3's own chain of credentials, and the systemd credential as its file.

    Its region is the place's: whoever gives out a role's keys is asked there too. Raises botocore's errors, here and
    where credentials are asked for. Silences the libraries below errors: at debug they log keys and signatures, at
    warning addresses.
    """
    import boto3  # noqa: PLC0415  # 100 ms and 20 MB that a station with a folder never needs
    import botocore.session  # noqa: PLC0415  # as above

    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    core = botocore.session.Session()
    file = find_credentials_file(environ)
    if file is not None:
        core.set_config_variable("credentials_file", file)
    region = place.region or core.get_config_variable("region") or "us-east-1"
    core.set_config_variable("region", region)
    guard_credentials(core)
    return boto3.Session(botocore_session=core)


def make_client(session: Any, place: Place) -> Any:
    """A client for a place: SigV4, one connection per thread, bytes sent at once and hashed by nobody but us.

    Raises botocore's errors for a configuration that it can't use.
    """
    from botocore.config import Config  # noqa: PLC0415  # as boto3
    from botocore.exceptions import BotoCoreError, InvalidConfigError  # noqa: PLC0415  # as boto3
    from botocore.handlers import add_expect_header, convert_body_to_file_like_object  # noqa: PLC0415  # as boto3

    config = Config(
        signature_version="s3v4",
        s3={
            "addressing_style": _choose_addressing(place),
            "payload_signing_enabled": False,
            "us_east_1_regional_endpoint": "regional",
        },
        retries={"mode": "adaptive", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        tcp_keepalive=True,
        max_pool_connections=place.most_threads + 5,  # originals have a gate of their own, and few threads
        parameter_validation=False,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent="ghostroll",
    )
    try:
        region = place.region or session.region_name
        endpoint = place.endpoint_url or None
        client = session.client("s3", region_name=region, endpoint_url=endpoint, config=config)
    except BotoCoreError:
        raise
    except Exception as error:  # of ~/.aws/config it checks little, and stumbles over the rest
        raise InvalidConfigError(error_msg=type(error).__name__) from error
    events = client.meta.events
    # They would make a file of every bytes object and ask before each PUT: a second round trip for a thumb.
    events.unregister("before-call.s3", add_expect_header)
    events.unregister("before-parameter-build.s3.PutObject", convert_body_to_file_like_object)
    events.unregister("before-parameter-build.s3.UploadPart", convert_body_to_file_like_object)
    return client


def _choose_addressing(place: Place) -> str:
    """Where the bucket's name stands: before the host on AWS, in the path of other stores and of names with dots.

    boto3's own choice signs for AWS's global host, which redirects a young bucket and then refuses the signature.
    """
    if place.addressing != "auto":
        return place.addressing
    return "path" if place.endpoint_url or "." in place.bucket else "virtual"
