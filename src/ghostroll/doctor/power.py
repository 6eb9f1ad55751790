"""Whether a Raspberry Pi gets enough power: what it lacks, readers and disks lack first."""

import glob
import os
from dataclasses import dataclass

from ghostroll.doctor.commands import ask, read_text
from ghostroll.doctor.finding import Check, Finding, could_not_look, finding, ok
from ghostroll.doctor.surroundings import Surroundings

_MODEL = "/proc/device-tree/model"
_HWMON = "/sys/class/hwmon/hwmon*"
_SENSOR = "rpi_volt"  # the kernel's driver raspberrypi-hwmon
_NOW, _SINCE_START = 1 << 0, 1 << 16  # of `vcgencmd get_throttled`, Raspberry Pi documentation


@dataclass(frozen=True, slots=True)
class PowerFacts:
    """`throttled` are the firmware's bits, `alarm` what the kernel's sensor says; None where they don't answer."""

    model: str
    throttled: int | None
    alarm: bool | None


def look_at_power(_surroundings: Surroundings) -> list[Finding]:
    """The supply of a Raspberry Pi; nothing on other machines."""
    model = (read_text(_MODEL) or "").rstrip("\0")
    if "Raspberry Pi" not in model:
        return []
    return judge_power(
        PowerFacts(model, parse_throttled(ask("vcgencmd", "get_throttled") or ""), _read_alarm())
    )


def judge_power(facts: PowerFacts) -> list[Finding]:
    """Too little now, or at any time since the start."""
    if facts.throttled is None and facts.alarm is None:
        why = "neither the firmware nor the kernel answers"
        return [
            could_not_look(
                Check.POWER, f"the power supply of this {facts.model}", why, "sudo vcgencmd get_throttled"
            )
        ]
    bits = facts.throttled or 0
    if bits & _NOW or facts.alarm:
        return [_say_low("has too little power right now")]
    if bits & _SINCE_START:
        return [_say_low("had too little power at some time since it was started")]
    return [ok(Check.POWER, f"this {facts.model} has enough power")]


def parse_throttled(text: str) -> int | None:
    """The bits in `throttled=0x50005`."""
    _, equals, number = text.strip().partition("=")
    try:
        return int(number, 16) if equals else None
    except ValueError:
        return None


def _say_low(what: str) -> Finding:
    return finding(
        Check.POWER,
        f"the Raspberry Pi {what}",
        "card readers and disks drop out first, in the middle of a copy",
        "sudo poweroff  # then take the official power supply, and give disks one of their own",
    )


def _read_alarm() -> bool | None:
    for folder in sorted(glob.glob(_HWMON)):
        if read_text(os.path.join(folder, "name")) == _SENSOR:
            return {"0": False, "1": True}.get(read_text(os.path.join(folder, "in0_lcrit_alarm")) or "")
    return None
