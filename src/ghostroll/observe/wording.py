"""Sizes, times and names as a terminal shows them. Pure."""

import unicodedata

_UNITS = ("B", "kB", "MB", "GB", "TB")


def say_bytes(size: float) -> str:
    """`38.2 GB`: powers of a thousand, as cards are sold."""
    unit = 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 99.5 else f"{size:.1f} {_UNITS[unit]}"


def say_seconds(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3 min 05 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def say_count(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say_name(text: str) -> str:
    """A name from a card on one line, without what a terminal would obey or the eye be fooled by."""
    return "".join(
        "\ufffd" if unicodedata.category(letter)[0] == "C" or letter in "\u2028\u2029" else letter
        for letter in text
    )
