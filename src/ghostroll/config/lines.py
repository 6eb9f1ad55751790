"""On which line of a TOML file a key stands: the standard parser doesn't say."""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping

# Multi-line strings first: their quotes also start a plain string. A quote or two may stand
# directly before the closing three.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?!")'
    r"|'''.*?'''(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|(?P<comment>\#[^\n]*)"
    r"|(?P<newline>\n)"
    r"|(?P<open>[\[{])"
    r"|(?P<close>[\]}])"
    r"|(?P<equals>=)"
    r"|[^\"'\#\n\[\]{}=]+",
    re.DOTALL,
)

KeyPath = tuple[str, ...]


def index_lines(text: str) -> dict[KeyPath, int]:
    r"""Return the line (from 1) on which each table and key starts, by its path.

    The text must be valid TOML with "\n" line ends. A key inside an inline table or an array has
    no entry of its own: ask `line_of`, which falls back on what encloses it.
    """
    starts = [match.end() for match in re.finditer("\n", text)]
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for offset, statement in _statements(text):
        if statement.startswith("["):
            table = _path(statement)
            path = table
        else:
            path = table + _path(statement + " = 0")
        lines.setdefault(path, bisect_right(starts, offset) + 1)
    return lines


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of a key, of the nearest thing that encloses it, or of what is first in it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return min((line for other, line in lines.items() if other[: len(path)] == path), default=None)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each table header whole and each key up to its equals sign, with its offset."""
    parts: list[str] = []
    depth, start, in_value = 0, 0, False
    for match in _TOKEN.finditer(text):
        if match["newline"] and depth == 0:
            yield from _finished(start, parts, in_value)
            parts, in_value = [], False
            continue
        depth += bool(match["open"]) - bool(match["close"])
        if match["equals"] and parts and not in_value:
            yield start, "".join(parts)
            in_value = True
        elif not in_value and not match["comment"] and (parts or match[0].strip()):
            start = start if parts else match.start()
            parts.append(match[0])
    yield from _finished(start, parts, in_value)


def _finished(start: int, parts: list[str], in_value: bool) -> Iterator[tuple[int, str]]:
    if parts and not in_value:
        yield start, "".join(parts)


def _path(statement: str) -> KeyPath:
    """Let the real parser read a header or a key, and return where it leads."""
    path: list[str] = []
    node: object = tomllib.loads(statement)
    while isinstance(node, dict | list) and node:
        if isinstance(node, dict):
            name, node = next(iter(node.items()))
            path.append(name)
        else:
            node = node[0]
    return tuple(path)
