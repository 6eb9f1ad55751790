"""Whether the person at the keyboard is in the service's group, and whether this login knows it."""

import grp
import os
import pwd
import shlex
from dataclasses import dataclass

from ghostroll.doctor.finding import Check, Finding, finding, ok
from ghostroll.doctor.surroundings import ACCOUNT, Service, Surroundings

_WHY = "requests to the daemon and the library's files are for its members"


@dataclass(frozen=True, slots=True)
class MembershipFacts:
    """`listed` is what the user database says; `effective` what this login has, None where another user looks."""

    person: str
    group_exists: bool
    listed: bool
    effective: bool | None


def look_at_membership(surroundings: Surroundings) -> list[Finding]:
    """The group of whoever sits at the keyboard; nothing of root and of the service's own user."""
    person = surroundings.person
    if surroundings.service is not Service.SYSTEM or person in (None, ACCOUNT):
        return []
    try:
        group = grp.getgrnam(ACCOUNT).gr_gid
        listed = group in os.getgrouplist(person, pwd.getpwnam(person).pw_gid)
    except KeyError:
        return judge_membership(MembershipFacts(person, group_exists=False, listed=False, effective=None))
    effective = None if surroundings.uid == 0 else group in {os.getegid(), *os.getgroups()}
    return judge_membership(MembershipFacts(person, group_exists=True, listed=listed, effective=effective))


def judge_membership(facts: MembershipFacts) -> list[Finding]:
    """Whether the person can ask the daemon for anything."""
    person = facts.person
    if not facts.group_exists:
        remedy = "sudo systemd-sysusers ghostroll.conf"
        return [finding(Check.MEMBERSHIP, f"there is no group {ACCOUNT}", _WHY, remedy)]
    if not facts.listed and not facts.effective:
        remedy = (
            f"sudo usermod --append --groups {ACCOUNT} {shlex.quote(person)}  # then log out and in again"
        )
        return [finding(Check.MEMBERSHIP, f"{person} is not in group {ACCOUNT}", _WHY, remedy)]
    if facts.effective is False:
        what = f"{person} is in group {ACCOUNT}, but was not yet at this login"
        return [
            finding(
                Check.MEMBERSHIP,
                what,
                _WHY,
                f"newgrp {ACCOUNT}  # for this terminal; or log out and in again",
            )
        ]
    return [ok(Check.MEMBERSHIP, f"{person} is in group {ACCOUNT}")]
