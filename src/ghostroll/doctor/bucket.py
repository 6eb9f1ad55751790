"""The bucket that galleries go to: whether it can be reached, takes pictures and keeps them private."""

import os
from datetime import UTC, datetime

from ghostroll.config import Originals, PublishTarget
from ghostroll.doctor.bucket_keys import NotHere, find_environ, find_keys, judge_keys
from ghostroll.doctor.finding import Check, Finding, could_not_look
from ghostroll.doctor.looking import become
from ghostroll.doctor.surroundings import Surroundings
from ghostroll.publish.s3.place import Place

_CONNECT_SECONDS = 5
_READ_SECONDS = 8
_MOST_BYTES = 4096  # of what an address answers


def look_at_bucket(surroundings: Surroundings) -> list[Finding]:
    """The bucket, with a small file that is written to it; nothing where galleries stand in folders alone.

    Only for a process of its own: it takes the rights and the environment of whoever publishes.
    """
    publish = surroundings.settings.publish
    if publish.target is not PublishTarget.S3:
        return []
    if not surroundings.sees_as_writer:
        why = f"{surroundings.writer_name} has the credentials, not you"
        return [could_not_look(Check.BUCKET, "the bucket", why)]
    try:
        environ = dict(find_environ(surroundings, os.environ))
    except NotHere as out_of_reach:
        return [out_of_reach.finding]
    if surroundings.writer is not None:
        become(surroundings.writer)
    os.environ.clear()  # boto3 reads it, and nothing else is left to do in this process
    os.environ.update(environ)
    s3 = publish.s3
    place = Place(s3.bucket, s3.prefix, s3.region, s3.endpoint_url, s3.base_url, s3.addressing)
    return _look(surroundings, place, wants_originals=publish.originals is not Originals.NONE)


def _look(surroundings: Surroundings, place: Place, *, wants_originals: bool) -> list[Finding]:
    # Slow to import, and most commands look at no bucket.
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    from ghostroll.doctor.bucket_findings import judge_bucket, say_refusal  # noqa: PLC0415
    from ghostroll.doctor.bucket_trial import Refusal, try_bucket  # noqa: PLC0415
    from ghostroll.publish.s3.client import make_client, make_session  # noqa: PLC0415
    from ghostroll.publish.s3.connections import Connections  # noqa: PLC0415
    from ghostroll.publish.s3.refusals import refuse  # noqa: PLC0415

    try:
        session = make_session(place, os.environ)
        keys = find_keys(session, datetime.now(UTC))
        found = judge_keys(keys, surroundings.runner)
        if not keys.provider:
            return found
        client = make_client(session, place)
        Connections().watch(client)  # half an answer is none
    except BotoCoreError as error:  # a profile that is not there, a file that can't be read
        return [say_refusal(place, Refusal(refuse(error, place)))]
    trial = try_bucket(client, place, now=lambda: datetime.now(UTC), fetch=fetch_openly)
    region = client.meta.region_name
    return [*found, *judge_bucket(place, trial, region=region, wants_originals=wants_originals)]


def fetch_openly(address: str) -> tuple[int, bytes]:
    """Status and beginning of what stands at an address, asked for without credentials and as boto3 asks."""
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415  # slow to import
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415  # as above
    from botocore.utils import get_environ_proxies  # noqa: PLC0415  # as above

    http = URLLib3Session(
        proxies=get_environ_proxies(address),
        verify=os.environ.get("AWS_CA_BUNDLE") or True,
        timeout=(_CONNECT_SECONDS, _READ_SECONDS),
    )
    request = AWSRequest(
        method="GET", url=address, headers={"Accept-Encoding": "identity"}, stream_output=True
    )
    answer = http.send(request.prepare())
    return answer.status_code, answer.raw.read(_MOST_BYTES)
