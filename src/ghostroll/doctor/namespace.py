"""Whether the daemon sees the mounts that root's helper makes: mount_namespaces(7)."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ghostroll.cards.mounts import Mount, find_mount, is_below, parse_mountinfo
from ghostroll.cards.sight import CARDS_FOLDER
from ghostroll.doctor.commands import ask_systemd
from ghostroll.doctor.finding import Check, Finding, could_not_look, finding, join_names, ok
from ghostroll.doctor.surroundings import UNIT, Service, Surroundings

_RESTART = f"sudo systemctl restart {UNIT}"
_PEERS = re.compile(rb"(shared|master):(\d+)")


@dataclass(frozen=True, slots=True)
class Table:
    """The mounts of one process, and by a mount's id whom it gives to and takes from: `shared` and `master` groups."""

    mounts: tuple[Mount, ...]
    peers: Mapping[int, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """The daemon's table between two of the host's, as cards come and go; None where this user may not read one."""

    host: Table | None
    daemon: Table | None
    host_after: Table | None


def look_at_namespace(surroundings: Surroundings) -> list[Finding]:
    """The mounts of cards in both namespaces; nothing where the daemon doesn't run."""
    if surroundings.service is not Service.SYSTEM or not surroundings.booted:
        return []
    says = ask_systemd(UNIT, ["MainPID"], own=False) or {}
    pid = says.get("MainPID", "0")
    if pid == "0":
        return []
    before, daemon, after = _read_table("1"), _read_table(pid), _read_table("1")
    return judge_namespace(NamespaceFacts(before, daemon, after))


def judge_namespace(facts: NamespaceFacts) -> list[Finding]:
    """Whether what is mounted is seen, and what will be mounted would be."""
    if facts.host is None or facts.daemon is None or facts.host_after is None:
        return [could_not_look(Check.NAMESPACE, "the daemon's view of the mounts", "only root may see it")]
    seen = {(mount.point, mount.device) for mount in facts.daemon.mounts}
    cards = [
        mount
        for mount in facts.host.mounts
        if is_below(mount.point, CARDS_FOLDER) and mount in facts.host_after.mounts
    ]
    hidden = [os.fsdecode(mount.point) for mount in cards if (mount.point, mount.device) not in seen]
    if not _is_fed(facts.host, facts.daemon):
        return [_say_not_fed(shared=_find_group(facts.host) is not None)]
    if hidden:
        why = "the card is mounted, but the daemon can't read it"
        return [finding(Check.NAMESPACE, f"the daemon doesn't see {join_names(hidden)}", why, _RESTART)]
    number = f", {len(cards)} now" if cards else ""
    return [ok(Check.NAMESPACE, f"the daemon sees the mounts of cards{number}")]


def _say_not_fed(*, shared: bool) -> Finding:
    why, remedy = (
        "this machine's mounts are not shared (mount --make-private)",
        f"sudo mount --make-rshared / && {_RESTART}",
    )
    if shared:
        why = "its namespace is private, as MountFlags=private makes it"
        remedy = f"systemctl cat {UNIT}  # take that out of the drop-in where it stands, then: sudo systemctl daemon-reload && {_RESTART}"
    return finding(
        Check.NAMESPACE,
        f"what is mounted below {os.fsdecode(CARDS_FOLDER)} does not reach the daemon",
        f"cards are mounted, and the daemon never sees them: {why}",
        remedy,
    )


def parse_table(text: bytes) -> Table:
    """A mountinfo file with its optional fields (proc(5))."""
    peers = {}
    for line in text.splitlines():
        head, dash, _ = line.partition(b" - ")
        fields = head.split(b" ")
        if dash and fields[0].isdigit():
            found = (match for field in fields[6:] if (match := _PEERS.fullmatch(field)))
            peers[int(fields[0])] = {match[1].decode(): int(match[2]) for match in found}
    return Table(tuple(parse_mountinfo(text)), peers)


def _is_fed(host: Table, daemon: Table) -> bool:
    """Whether what the host mounts in the folder of the cards appears at the daemon's: shared, or its slave."""
    above, below = find_mount(CARDS_FOLDER, host.mounts), find_mount(CARDS_FOLDER, daemon.mounts)
    if above is None or below is None:
        return False
    if host is daemon or (above.id == below.id and host.peers == daemon.peers):
        return True  # one namespace
    group = _find_group(host)
    return group is not None and group in daemon.peers.get(below.id, {}).values()


def _find_group(table: Table) -> int | None:
    """The group that the folder of the cards gives its mounts to."""
    mount = find_mount(CARDS_FOLDER, table.mounts)
    return None if mount is None else table.peers.get(mount.id, {}).get("shared")


def _read_table(process: str) -> Table | None:
    try:
        with open(f"/proc/{process}/mountinfo", "rb") as file:
            return parse_table(file.read())
    except OSError:
        return None
