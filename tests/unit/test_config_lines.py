"""Lines of keys in a TOML file."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostroll.config.lines import index_lines, line_of

# Values that could mislead a reader of lines: brackets, quotes, hashes and keys inside of others.
VALUES = (
    "'''x''''",
    "1",
    "true",
    '"a = 1 # no"',
    "'[x]'",
    '"\\"]"',
    '"""\nk9 = 1\n[t9]\n\\""""',
    '"""a"""""',
    "'''\n'k8' = [\n'''",
    "''''x'''''",
    "[\n  1, # ] no\n  2,\n]",
    '[["]"], [\n"k7 = 2"]]',
    "{ k6 = 1, 'k5' = { k4 = [1, 2] } }",
    "2024-01-02T03:04:05Z",
)
FILLERS = ("", "\n", "# k3 = 1\n", '  # [t8] "\n\n', "#'''\n")
KEYS = ("{}", '"{}"', "'{}'", "  {}  ", "{}.sub", "{} . 'sub=#'", '"\\u0061{}"')


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[int]]:
    """Draw a valid document and the lines on which its tables and keys start."""
    text, lines = "", []
    for number in range(draw(st.integers(0, 8))):
        text += draw(st.sampled_from(FILLERS))
        lines.append(text.count("\n") + 1)
        name = draw(st.sampled_from(KEYS)).format(f"n{number}")
        if draw(st.booleans()):
            text += f"[{name}]"
        else:
            text += f"{name} = {draw(st.sampled_from(VALUES))}"
        text += draw(st.sampled_from(("\n", "  # it's [ \" {\n")))
    return text, lines


@given(documents())
def test_every_table_and_key_is_found_on_its_line(document: tuple[str, list[int]]) -> None:
    """Whatever stands around it, each statement is indexed once, in order, on its own line."""
    text, lines = document
    tomllib.loads(text)
    assert list(index_lines(text).values()) == lines


@given(documents())
def test_every_path_of_the_parser_has_a_line(document: tuple[str, list[int]]) -> None:
    """Each path that the parser makes is in the index or inside something that is."""
    text, _ = document
    index = index_lines(text)

    def walk(table: dict[str, object], above: tuple[str, ...]) -> None:
        for name, value in table.items():
            assert line_of((*above, name), index) is not None
            if isinstance(value, dict):
                walk(value, (*above, name))

    walk(tomllib.loads(text), ())


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("publish", "s3", "bucket"), 3),
        (("publish", "s3"), 3),
        (("publish",), 2),
        (("copy", "attempts"), 4),
        (("copy",), 4),
        (("nothing",), None),
    ],
)
def test_a_key_without_a_line_of_its_own_borrows_one(path: tuple[str, ...], line: int | None) -> None:
    """Inside an inline table its line counts; for a table made by dotted keys, its first key's."""
    text = '\n[publish]\ns3 = { bucket = "b" }\n'
    index = index_lines(text) | {("copy", "attempts"): 4}
    assert line_of(path, index) == line
