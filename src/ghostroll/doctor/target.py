"""Whether galleries can be put where they go: with the folder target, into their sessions' folders."""

import os
import re
import shlex
from dataclasses import dataclass

from ghostroll.doctor.disk import find_nearest
from ghostroll.doctor.finding import Check, Finding, could_not_look, finding, join_names, ok
from ghostroll.doctor.surroundings import Surroundings

_SESSION = re.compile(r"\d{4}-\d\d-\d\d_\d{6}-\S+")  # how the folder of a session begins


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """`closed` are folders of sessions that the writer may not change, None where this user's rights don't tell."""

    library: str
    sessions: int
    closed: tuple[str, ...] | None
    writer: str


def look_at_target(surroundings: Surroundings) -> list[Finding]:
    """The folders of the galleries; nothing where there is no library yet."""
    library = os.fsencode(surroundings.settings.library.path)
    if find_nearest(library) != library:
        return []
    closed, sessions = None, 0
    if surroundings.sees_as_writer:
        try:
            names = sorted(name for name in os.listdir(os.fsdecode(library)) if _SESSION.fullmatch(name))
        except OSError:
            return []  # said about the library
        sessions = len(names)
        closed = tuple(name for name in names if not _is_open(os.path.join(os.fsdecode(library), name)))
    return judge_target(TargetFacts(os.fsdecode(library), sessions, closed, surroundings.writer_name))


def judge_target(facts: TargetFacts) -> list[Finding]:
    """Whether every gallery can be written."""
    if facts.closed is None:
        why = f"{facts.writer} writes there, not you"
        return [could_not_look(Check.TARGET, "whether galleries can be written", why)]
    if facts.closed:
        return [
            finding(
                Check.TARGET,
                f"{facts.writer} may not write to {len(facts.closed)} of {facts.sessions} session folders:"
                f" {join_names(facts.closed)}",
                "their galleries can't be written again, nor can a card be gone on with",
                f"sudo chown -R {facts.writer}: {shlex.quote(facts.library)}",
            )
        ]
    return [ok(Check.TARGET, "galleries can be written: each stands in its session's folder")]


def _is_open(folder: str) -> bool:
    return not os.path.isdir(folder) or os.access(folder, os.W_OK | os.X_OK, effective_ids=True)
