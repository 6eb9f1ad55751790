"""Whose credentials publish, where boto3 found them, and for how long they are good."""

import contextlib
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ghostroll.doctor.commands import ask, ask_systemd, read_bytes
from ghostroll.doctor.finding import Check, Finding, could_not_look, finding, hint, ok
from ghostroll.doctor.surroundings import SERVICE_STATE, UNIT, Service, Surroundings
from ghostroll.observe.wording import say_seconds

# The systemd credential, as a unit's files name it; `systemctl show` does not print it (systemd 252).
_CREDENTIAL = re.compile(r"^\s*(Load|Set|Import)Credential(Encrypted)?\s*=\s*aws\s*(:|$)", re.MULTILINE)
_LONGEST = timedelta(days=7)  # that a link can be good for
_GUIDE = "docs/s3.md has the places where they may be, and how the service gets them"
_FOUND = {  # botocore's names of its providers
    "env": "in the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "in {file}",
    "config-file": "in boto3's configuration file",
    "iam-role": "from the role of this machine",
    "container-role": "from the role of this container",
    "custom-process": "from the program that boto3's configuration names",
    "sso": "from a login with single sign-on",
    "login": "from a login with the AWS command",
}


class NotHere(Exception):
    """The credentials of the service are out of reach; the finding says why."""

    def __init__(self, found: Finding) -> None:
        super().__init__(found.what)
        self.finding = found


@dataclass(frozen=True, slots=True)
class Keys:
    """What is known of the credentials. No provider: there are none. `left` is None where they don't end.

    `token` is whether they are temporary. `trouble` is why they could not be had, by the name of the error.
    """

    provider: str = ""
    file: str = ""
    token: bool = False
    left: timedelta | None = None
    trouble: str = ""


def find_environ(surroundings: Surroundings, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment that publishing has: of the service where these are its settings, else of this process.

    Raises NotHere where the service has credentials that only its running process sees.
    """
    if surroundings.own_settings:
        return environ
    says = ask_systemd(UNIT, ("MainPID", "Environment"), own=False) if surroundings.booted else None
    says = says or {}
    with contextlib.suppress(ValueError):
        raw = read_bytes(f"/proc/{int(says.get('MainPID', '0'))}/environ")
        if raw:
            return parse_environ(raw)
    if _CREDENTIAL.search((surroundings.booted and ask("systemctl", "cat", UNIT)) or ""):
        why = "only the running service has its credentials"
        raise NotHere(could_not_look(Check.BUCKET, "the bucket", why, f"sudo systemctl start {UNIT}"))
    plain = {"PATH": os.defpath, "HOME": SERVICE_STATE}
    with contextlib.suppress(ValueError):  # quoted in a way that only systemd reads
        plain |= dict(one.partition("=")[::2] for one in shlex.split(says.get("Environment", "")))
    return plain


def parse_environ(raw: bytes) -> dict[str, str]:
    """What stands in /proc/PID/environ."""
    pairs = (os.fsdecode(one).partition("=") for one in raw.split(b"\0") if b"=" in one)
    return {name: value for name, _, value in pairs}


def find_keys(session: Any, now: datetime) -> Keys:
    """What boto3's chain finds for this session. Roles are asked over the network, for a few seconds."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # slow to import

    try:
        credentials = session.get_credentials()
        if credentials is None:
            return Keys()
        token = bool(credentials.get_frozen_credentials().token)
    except BotoCoreError as error:
        return Keys(trouble=type(error.__cause__ or error).__name__)
    until = getattr(credentials, "_expiry_time", None)  # boto3 tells no other way
    file = str(session._session.get_config_variable("credentials_file"))  # noqa: SLF001  # as above
    return Keys(str(credentials.method), file, token, until - now if until else None)


def judge_keys(keys: Keys, service: Service) -> list[Finding]:
    """Where the credentials are, and whether they end sooner than links could."""
    if not keys.provider:
        what = "no credentials for the bucket were found"
        if keys.trouble:
            what = f"the credentials for the bucket can't be had ({keys.trouble})"
        why = "without them nothing is published; cards are copied all the same"
        return [finding(Check.CREDENTIALS, what, why, _GUIDE)]
    where = _FOUND.get(keys.provider, "by way of {provider}").format(file=keys.file, provider=keys.provider)
    what = f"credentials for the bucket are {where}"
    if service is Service.USER and keys.provider == "env":
        why = "your service does not see the variables of this shell"
        remedy = "write them to ~/.aws/credentials, or: systemctl --user set-environment NAME=VALUE"
        return [hint(Check.CREDENTIALS, what, why, remedy)]
    if keys.left is not None and keys.left < _LONGEST:
        what += f"; they are temporary and end in {_say_left(keys.left)}"
    elif keys.left is None and keys.token:
        what += "; they are temporary, and nothing tells until when"
    else:
        return [ok(Check.CREDENTIALS, what)]
    why = "a link ends with the credentials that made it; with keys of a user of its own it lives 7 days"
    return [hint(Check.CREDENTIALS, what, why, "see docs/s3.md for a user with keys that don't end")]


def _say_left(left: timedelta) -> str:
    hours = left // timedelta(hours=1)
    return f"{hours} h" if hours >= 2 else say_seconds(max(0.0, left.total_seconds()))
