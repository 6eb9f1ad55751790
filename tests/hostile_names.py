"""Names of files that want to be obeyed: by a terminal, a browser, a shell, a spreadsheet, or the eye."""

import os
import re
import unicodedata
from pathlib import Path

from commanding import write_photo

# Every one a picture's, and none that another could be taken for.
NAMES = tuple(
    name + b".jpg"
    for name in (
        b"..\\..\\etc\\passwd",  # paths
        b"C:\\boot",
        b"%2e%2e%2fup",
        b"~root",
        b"-rf",
        b"...",
        b"\x1b[2J\x1b]0;owned\x07",  # terminals
        b"\x1b]8;;http:x\x07click\x1b]8;;\x07",
        b"\x9b2Jraw",
        "\u009b31mC1".encode(),
        b"\r\nSECURED: 9 files safe and verified",
        b"\x08\x08\x08back",
        b"[bold red]markup[reverse]",
        b'<img src=x onerror="window.hurt=1">',  # browsers
        b"\"'><svg onload=window.hurt=2>",
        b"<script>window.hurt=3<script>",
        b"javascript:window.hurt=4",
        b"{{7*7}}${7*7}#{7*7}",
        b"<!--",
        b"]]>&amp;&#60;",
        b"#?&%25+ .",
        b"=1+1",  # spreadsheets
        b"@SUM(1+1)",
        b"+cmd|' C calc'!A0",
        b"$(reboot)`reboot`;reboot",  # shells, formats, SQL
        b"%s%n%99999d",
        b"'; DROP TABLE task;--",
        "\u202egpj.exe\u2066".encode(),  # the eye
        "\U0001f4f7\U0001f9e8\U0001f468\u200d\U0001f469".encode(),
        ("Z" + "\u0335\u0322" * 40).encode(),
        b"caf\xe9",  # not UTF-8
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"new\nline",
        b"tab\t",
        b"back\\slash\\n",
        b"  spaces  ",
        b"l" * 251,
        b"\xc3\xa4" * 125,
    )
)
LABEL = b"<svg onload=window.hurt=9>\x1b]0;owned\x07\n\xe9=1+1"


def fill_card(place: Path, *, good: bool = True) -> Path:
    """A card of such names: what only is called a picture in one folder, and, where wanted, real ones in another."""
    card = Path(os.fsdecode(os.fsencode(place) + b"/" + LABEL))
    (card / "BAD").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (card / "BAD" / os.fsdecode(name)).write_bytes(b"no picture %d" % number)
    if good:
        (card / "GOOD").mkdir()
        for number, name in enumerate(NAMES):
            write_photo(card / "GOOD" / os.fsdecode(name), number)
    return card


def show(name: bytes) -> str:
    """A name as JSON and the page have it."""
    return name.decode("utf-8", "replace")


def find_orders(text: str) -> list[str]:
    """What in a text a terminal would obey, or the eye be fooled by: everything invisible but the line's end."""
    return [
        letter
        for letter in text
        if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter != "\n"
    ]


def find_forged_lines(text: str) -> list[str]:
    """Lines that a name has begun."""
    return re.findall(r"^(?:SECURED: 9|line|=1\+1).*", text, re.MULTILINE)
