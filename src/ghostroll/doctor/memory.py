"""Whether the render workers fit into this machine's memory."""

import os
from dataclasses import dataclass

from ghostroll.doctor.commands import read_text
from ghostroll.doctor.finding import Check, Finding, hint, ok
from ghostroll.doctor.surroundings import Surroundings
from ghostroll.observe.wording import say_bytes, say_count

_CPUINFO = "/proc/cpuinfo"
_SHA_FLAGS = frozenset({"sha_ni", "sha2"})  # x86 and ARM


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Sizes in bytes; `memory` is 0 where the machine doesn't say."""

    memory: int
    workers: int
    each: int
    hashes: bool | None  # the processor itself; None where it doesn't say


def look_at_memory(surroundings: Surroundings) -> list[Finding]:
    """Memory and processor."""
    render = surroundings.settings.render
    return judge_memory(
        MemoryFacts(
            memory=max(0, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")),
            workers=render.count_workers(len(os.sched_getaffinity(0))),
            each=render.memory_mib << 20,
            hashes=has_hashing(read_text(_CPUINFO) or ""),
        )
    )


def judge_memory(facts: MemoryFacts) -> list[Finding]:
    """Limits that together are more than there is, are a hint: ordinary pictures need a fraction of them."""
    found = []
    if facts.memory:
        workers = f"{say_count(facts.workers, 'render worker')} of up to {say_bytes(facts.each)}"
        memory = f"this machine's {say_bytes(facts.memory)} of memory"
        found.append(ok(Check.MEMORY, f"{workers} fit into {memory}"))
        if facts.workers * facts.each > facts.memory:
            most = max(1, facts.memory // facts.each)
            remedy = f"set render.workers = {most}"
            if facts.each > facts.memory:
                remedy += f" and render.memory_mib = {max(128, facts.memory * 3 // 4 >> 20)}"
            why = "very large pictures, several at once, may use it up; whoever the kernel ends then is tried again"
            found = [hint(Check.MEMORY, f"{workers} can be more than {memory}", why, remedy)]
    if facts.hashes is not None:
        how = "has instructions for" if facts.hashes else "has no instructions for"
        found.append(
            ok(
                Check.HASHING,
                f"the processor {how} SHA-256{'' if facts.hashes else ': checksums cost it more'}",
            )
        )
    return found


def has_hashing(cpuinfo: str) -> bool | None:
    """Whether /proc/cpuinfo lists instructions for SHA-256."""
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() in ("flags", "Features"):
            return not _SHA_FLAGS.isdisjoint(value.split())
    return None
