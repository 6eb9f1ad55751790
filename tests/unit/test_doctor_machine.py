"""What the doctor says of clock, power, kernel, memory and picture formats: by facts alone."""

from dataclasses import replace

import pytest

from ghostroll.doctor.clock import ClockFacts, judge_clock
from ghostroll.doctor.drivers import DriverFacts, judge_drivers
from ghostroll.doctor.finding import Check, Level
from ghostroll.doctor.formats import SAMPLES, FormatFacts, judge_formats
from ghostroll.doctor.memory import MemoryFacts, has_hashing, judge_memory
from ghostroll.doctor.power import PowerFacts, judge_power, parse_throttled
from ghostroll.doctor.surroundings import Service

CLOCK = ClockFacts(year=2026, shown="2026-11-22 14:30", synchronized=True, can_sync=True, syncs=True)
DRIVERS = DriverFacts(
    wanted=("vfat", "exfat"),
    loaded=frozenset({"ext4", "vfat"}),
    available=frozenset({"exfat"}),
    modules_there=True,
    release="6.1.0-18-amd64",
    service=Service.SYSTEM,
)
GIB = 2**30
MIB = 2**20


@pytest.mark.parametrize(
    ("facts", "level", "remedy"),
    [
        (CLOCK, Level.OK, ""),
        (replace(CLOCK, year=2025), Level.FINDING, "timedatectl status"),
        (replace(CLOCK, year=1970, syncs=False), Level.FINDING, "sudo timedatectl set-ntp true"),
        (replace(CLOCK, synchronized=False), Level.HINT, "timedatectl status"),
        (replace(CLOCK, synchronized=False, syncs=False), Level.HINT, "sudo timedatectl set-ntp true"),
        (
            replace(CLOCK, synchronized=False, can_sync=False),
            Level.HINT,
            "sudo apt install systemd-timesyncd",
        ),
        (replace(CLOCK, synchronized=False, can_sync=None), Level.HINT, "sudo date --set="),
    ],
)
def test_the_clock(facts: ClockFacts, level: Level, remedy: str) -> None:
    """A clock from before this program is not set; one that nobody keeps is a hint."""
    (one,) = judge_clock(facts)
    assert (one.check, one.level) == (Check.CLOCK, level)
    assert one.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("text", "bits"),
    [("throttled=0x50005\n", 0x50005), ("throttled=0x0", 0), ("", None), ("throttled=x", None)],
)
def test_what_the_firmware_says(text: str, bits: int | None) -> None:
    """The bits are read, and anything else is no answer."""
    assert parse_throttled(text) == bits


@pytest.mark.parametrize(
    ("throttled", "alarm", "level", "words"),
    [
        (0, None, Level.OK, "enough"),
        (0, False, Level.OK, "enough"),
        (None, False, Level.OK, "enough"),
        (1 << 1 | 1 << 2 | 1 << 17, None, Level.OK, "enough"),  # only warm or busy
        (0x50005, None, Level.FINDING, "right now"),
        (None, True, Level.FINDING, "right now"),
        (0, True, Level.FINDING, "right now"),
        (0x10000, False, Level.FINDING, "at some time"),
        (None, None, Level.HINT, "not looked at"),
    ],
)
def test_the_power_supply(throttled: int | None, alarm: bool | None, level: Level, words: str) -> None:
    """Too little power, now or since the start, is a finding."""
    (one,) = judge_power(PowerFacts("Raspberry Pi 4 Model B", throttled, alarm))
    assert (one.check, one.level) == (Check.POWER, level)
    assert words in one.what


@pytest.mark.parametrize(
    ("facts", "level", "remedy"),
    [
        (DRIVERS, Level.OK, ""),
        (replace(DRIVERS, wanted=("ext2", "ext3", "ext4")), Level.OK, ""),
        (
            replace(DRIVERS, available=frozenset()),
            Level.FINDING,
            "sudo apt install --reinstall linux-image-6.1.0-18-amd64",
        ),
        (replace(DRIVERS, available=frozenset(), service=Service.USER), Level.HINT, "sudo apt install"),
        (replace(DRIVERS, available=frozenset(), modules_there=False), Level.FINDING, "sudo reboot"),
        (
            replace(DRIVERS, available=frozenset(), release="6.1.0-18-cloud-amd64"),
            Level.FINDING,
            "sudo apt install linux-image-amd64",
        ),
    ],
)
def test_the_drivers(facts: DriverFacts, level: Level, remedy: str) -> None:
    """A filesystem of cards that the kernel can't mount is a finding where the service mounts cards."""
    (one,) = judge_drivers(facts)
    assert (one.check, one.level) == (Check.DRIVERS, level)
    assert one.remedy.startswith(remedy)
    assert ("exfat" in one.what) == ("exfat" in facts.wanted)


@pytest.mark.parametrize(
    ("facts", "level", "remedy"),
    [
        (MemoryFacts(8 * GIB, 4, 1280 * MIB, hashes=True), Level.OK, ""),
        (MemoryFacts(5 * GIB, 4, 1280 * MIB, hashes=True), Level.OK, ""),
        (MemoryFacts(4 * GIB, 4, 1280 * MIB, hashes=False), Level.HINT, "set render.workers = 3"),
        (
            MemoryFacts(GIB, 4, 1280 * MIB, hashes=False),
            Level.HINT,
            "set render.workers = 1 and render.memory_mib = 768",
        ),
    ],
)
def test_the_memory(facts: MemoryFacts, level: Level, remedy: str) -> None:
    """Workers that together may take more than there is are a hint, with numbers that fit."""
    memory, hashing = judge_memory(facts)
    assert (memory.check, memory.level, memory.remedy) == (Check.MEMORY, level, remedy)
    assert (hashing.check, hashing.level) == (Check.HASHING, Level.OK)
    assert ("has no" in hashing.what) is not facts.hashes


def test_a_machine_that_says_nothing() -> None:
    """What a machine doesn't say is not guessed."""
    assert judge_memory(MemoryFacts(0, 4, GIB, hashes=None)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse sha_ni avx\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd aes sha1 sha2 crc32\n", True),
        ("Features\t: fp asimd evtstrm crc32 cpuid\n", False),
        ("model name\t: sha2\n", None),
    ],
)
def test_the_processor(text: str, expected: bool | None) -> None:
    """Instructions for SHA-256 are told from what the kernel lists."""
    assert has_hashing(text) is expected


def test_all_formats() -> None:
    """Where every sample came out that is one line, and colours are another."""
    formats, colours = judge_formats(FormatFacts(SAMPLES, (), colours=True, remedy="pip install {}"))
    assert (formats.check, formats.level) == (Check.FORMATS, Level.OK)
    assert (colours.check, colours.level) == (Check.COLOURS, Level.OK)
    assert all(sample.title in formats.what for sample in SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_format_that_fails(sample: object) -> None:
    """A format that fails is named with its reason and its package; the others are still said to work."""
    (wanted,) = (one for one in SAMPLES if one == sample)
    facts = FormatFacts(
        SAMPLES, ((wanted, "the decoder crashed (SIGILL)"),), colours=None, remedy="pip install {}"
    )
    failed, others = judge_formats(facts)
    assert failed.level is Level.FINDING
    assert failed.what == f"no picture can be made of {wanted.title} files: the decoder crashed (SIGILL)"
    assert failed.remedy == f"pip install {wanted.package}"
    assert wanted.title not in others.what


def test_nothing_but_failures() -> None:
    """Where nothing came out, nothing is said to work; colours that are not heeded are a finding."""
    facts = FormatFacts(SAMPLES, tuple((one, "x") for one in SAMPLES), colours=False, remedy="{}")
    found = judge_formats(facts)
    assert {one.level for one in found} == {Level.FINDING}
    assert [one.check for one in found] == [Check.FORMATS] * 4 + [Check.COLOURS]
