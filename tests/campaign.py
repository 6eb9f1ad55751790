"""The fault campaign's size: a part of it in every test run, all of it by `make campaign`; and its counts.

Every kill, cut, fault and hostile file is counted where it happens, so that the figures of
`docs/reliability.md` come from a run. `python tests/campaign.py FILE SECONDS` prints what a run counted that began so many
seconds after 1970, and how long it took.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path

FULL = "GHOSTROLL_CAMPAIGN" in os.environ
_COUNTS = os.environ.get("GHOSTROLL_CAMPAIGN_COUNTS")


def pick(part: int, full: int) -> int:
    """How often to do something: `part` in every test run, `full` in the campaign."""
    return full if FULL else part


def count(what: str, number: int = 1) -> None:
    """Put down that something was done to the program and it kept its promises; say it after checking them."""
    if _COUNTS and number:
        with open(_COUNTS, "a", encoding="utf-8") as counts:
            counts.write(f"{number}\t{what}\n")


def sum_counts(lines: list[str]) -> Counter[str]:
    """What was done, and how often."""
    sums: Counter[str] = Counter()
    for line in lines:
        number, _, what = line.partition("\t")
        sums[what] += int(number)
    return sums


if __name__ == "__main__":
    for done, times in sorted(sum_counts(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()).items()):
        sys.stdout.write(f"{times:>9,}  {done}\n")
    minutes, seconds = divmod(round(time.time()) - int(sys.argv[2]), 60)
    sys.stdout.write(f"{minutes:>6}:{seconds:02}  minutes, all together\n")
