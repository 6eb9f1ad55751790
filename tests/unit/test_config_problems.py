"""Every problem of a configuration is told at once, each in a sentence with its place, and no secret is repeated."""

from pathlib import Path

import pytest
from configuring import load, problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty configuration file, so that none of this computer is read."""
    path = tmp_path / "config.toml"
    path.touch()
    return path


def test_all_problems_are_told_at_once_by_line(file: Path) -> None:
    """One run names every mistake of the file by line and then those of the environment by name."""
    text = """station = 3
[libary]
path = "/x"
[copy]
treads = 2
threads_per_card = true
[render]
workers = "two"
thumb_edge = 2.0
[cards]
markers = []
leave_out = ["*"]
[publish]
viewer_originals = 1
originals = "jpeg"
s3.bucket = "photos"
[library]
path = "photos"
"""
    assert problems(file, text, RENDER__SECONDS="0", LIBRARY_PATH="/x") == [
        "config.toml:1: station: expected a section; write [station] and its keys below",
        "config.toml:2: [libary]: unknown section; did you mean [library]?",
        "config.toml:5: copy.treads: unknown key; did you mean copy.threads_per_card?",
        "config.toml:6: copy.threads_per_card: expected a whole number from 1 to 4, got true",
        'config.toml:8: render.workers: expected a whole number from 0 to 64, got "two"',
        "config.toml:9: render.thumb_edge: expected a whole number from 64 to 2048, got 2.0",
        'config.toml:11: cards.markers: expected a list of at least one folder name, such as ["DCIM"], got []',
        (
            "config.toml:12: cards.leave_out: expected a list of file or folder names, "
            'such as ["Thumbs.db", "._*"], got ["*"]'
        ),
        "config.toml:14: publish.viewer_originals: expected true or false, got 1",
        'config.toml:15: publish.originals: expected one of: none, raw, all, got "jpeg"',
        'config.toml:18: library.path: expected a full path, such as "/srv/photos" or "~/photos", got "photos"',
        (
            "GHOSTROLL_LIBRARY_PATH: no key of the configuration has this name; "
            "did you mean GHOSTROLL_LIBRARY__PATH?"
        ),
        "GHOSTROLL_RENDER__SECONDS: render.seconds: expected a whole number from 1 to 3600, got 0",
    ]


def test_a_variable_does_not_hide_a_mistake_in_the_file(file: Path) -> None:
    """A bad line is a problem even where the environment has the last word."""
    assert problems(file, "[copy]\nattempts = 0\n", COPY__ATTEMPTS="3") == [
        "config.toml:2: copy.attempts: expected a whole number from 1 to 10, got 0"
    ]


def test_file_and_environment_may_be_halves_of_one_whole(file: Path) -> None:
    """What agrees only together with a variable is no problem, and what disagrees with one is told once."""
    assert load(file, 'publish.target = "s3"\n', PUBLISH__S3__BUCKET="photos").settings.publish.s3.bucket
    text = '[publish]\noriginals = "all"\ns3.bucket = "photos"\n'
    assert load(file, text, PUBLISH__TARGET="s3").settings.publish.originals == "all"
    assert problems(file, text, PUBLISH__TARGET="folder") == [
        (
            'config.toml:2: publish.originals: "all" needs publish.target = "s3"; '
            "in its own folder a session always has everything"
        )
    ]


def test_a_bad_variable_does_not_bring_down_what_it_hid(file: Path) -> None:
    """Where a variable lies over a mistake in the file and is refused itself, both are told."""
    assert problems(file, "publish = 3", PUBLISH__S3__BUCKET="/") == [
        "config.toml:1: publish: expected a section; write [publish] and its keys below",
        "GHOSTROLL_PUBLISH__S3__BUCKET: publish.s3.bucket: expected the name of a bucket, such as my-photos",
    ]


def test_a_refused_value_has_no_second_problem(file: Path) -> None:
    """What follows only from a refused value is not told: a bad bucket is not also a missing one."""
    text = 'publish.target = "s3"\npublish.s3.bucket = "/"\n'
    assert problems(file, text) == [
        "config.toml:2: publish.s3.bucket: expected the name of a bucket, such as my-photos",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("copy.attempts = 0", "copy.attempts: expected a whole number from 1 to 10, got 0"),
        ("copy.attempts = 11", "copy.attempts: expected a whole number from 1 to 10, got 11"),
        ("copy.attempts = nan", "copy.attempts: expected a whole number from 1 to 10, got nan"),
        ("copy.attempts = 2024-01-02", "copy.attempts: expected a whole number from 1 to 10, got 2024-01-02"),
        ("copy.attempts = {a = 1}", "copy.attempts: expected a whole number from 1 to 10, got a section"),
        ("copy.attempts = [[1]]", "copy.attempts: expected a whole number from 1 to 10, got a list"),
        ('copy.trust_known = "true"', 'copy.trust_known: expected true or false, got "true"'),
        ("copy.trust_known = 1", "copy.trust_known: expected true or false, got 1"),
        ("log.level = 10", "log.level: expected one of: debug, info, warning, error, got 10"),
        (
            'station.name = "a\\u001b[31m"',
            'station.name: expected text on one line, got "a\\u001b[31m"',
        ),
        (
            f'log.format = "{"x" * 99}"',
            f'log.format: expected one of: auto, journal, console, json, got "{"x" * 55} ...',
        ),
        (
            'library.path = ""',
            'library.path: expected a full path, such as "/srv/photos" or "~/photos", got ""',
        ),
        (
            'state.path = "/a\\u0000b"',
            'state.path: expected a full path, such as "/srv/photos" or "~/photos", got "/a\\u0000b"',
        ),
        (
            'cards.leave_out = ["a/b"]',
            'cards.leave_out: expected a list of file or folder names, such as ["Thumbs.db", "._*"], got ["a/b"]',
        ),
        (
            "cards.leave_out = [1]",
            'cards.leave_out: expected a list of file or folder names, such as ["Thumbs.db", "._*"], got [1]',
        ),
        (
            'cards.filesystems = ["vfat", "ntfs"]',
            (
                "cards.filesystems: expected a list of at least one of: vfat, exfat, ext2, ext3, ext4,"
                ' got ["vfat", "ntfs"]'
            ),
        ),
        (
            "cards.filesystems = []",
            "cards.filesystems: expected a list of at least one of: vfat, exfat, ext2, ext3, ext4, got []",
        ),
        (
            'cards.readers = ["*"]',
            'cards.readers: expected a list of disks, such as ["ProGrade_*", "sdc"]; a * alone is none, got ["*"]',
        ),
        (
            'cards.allow = [""]',
            'cards.allow: expected a list of labels or UUIDs, such as ["EOS_DIGITAL", "8355-7F0A"], got [""]',
        ),
        (
            'cards.deny = "MUSIC"',
            'cards.deny: expected a list of labels or UUIDs, such as ["EOS_DIGITAL", "8355-7F0A"], got "MUSIC"',
        ),
        (
            'cards.mount_roots = ["media"]',
            (
                "cards.mount_roots: expected a list of at least one full path,"
                ' such as ["/media"]; / alone is none, got ["media"]'
            ),
        ),
        (
            'cards.mount_roots = ["//"]',
            (
                "cards.mount_roots: expected a list of at least one full path,"
                ' such as ["/media"]; / alone is none, got ["//"]'
            ),
        ),
        (
            "cards.rescan_seconds = 0",
            "cards.rescan_seconds: expected a whole number from 1 to 3600, got 0",
        ),
        (
            'publish.s3.bucket = "a/b"',
            "publish.s3.bucket: expected the name of a bucket, such as my-photos",
        ),
        (
            'publish.s3.prefix = "/a"',
            "publish.s3.prefix: expected a folder in the bucket, such as weddings, without a / in front",
        ),
        (
            'publish.s3.prefix = "a//b"',
            "publish.s3.prefix: expected a folder in the bucket, such as weddings, without a / in front",
        ),
        ("publish.s3.threads = 33", "publish.s3.threads: expected a whole number from 0 to 32"),
        (
            "publish.s3.bandwidth_mbit = -1",
            "publish.s3.bandwidth_mbit: expected a whole number from 0 to 100000",
        ),
        (
            'publish.s3.addressing = "host"',
            "publish.s3.addressing: expected one of: auto, virtual, path",
        ),
        ('publish.target = "s3"', "publish.target: s3 needs a bucket; set publish.s3.bucket"),
        (
            'publish.only = "protected"',
            (
                'publish.only: "protected" needs publish.target = "s3"; '
                "in its own folder a session always has everything"
            ),
        ),
        (
            'publish.s3.region = "Frankfurt"',
            "publish.s3.region: expected a region such as eu-central-1",
        ),
        ("x = 1", "x: unknown key"),
        ('"library.path" = 1', '"library.path": unknown key; did you mean library.path?'),
        ('"a\\u001b" = 1', '"a\\u001b": unknown key'),
        ("copy.workers = 1", "copy.workers: unknown key; did you mean render.workers?"),
        ("[s3]", "[s3]: unknown section; did you mean [publish.s3]?"),
        ("[Library]", "[Library]: unknown section; did you mean [library]?"),
        ("sources = 1", "sources: unknown key"),
        ("[[library]]", "library: expected a section; write [library] and its keys below"),
        (
            "render.share_edge = 256",
            "render.thumb_edge: expected at most render.share_edge (256), got 512",
        ),
    ],
)
def test_a_problem_is_one_clear_sentence(file: Path, text: str, sentence: str) -> None:
    """Each sort of mistake has its own words, with what was expected and what came."""
    assert problems(file, f"\n{text}\n") == [f"config.toml:2: {sentence}"]


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("a =", "1:4", 'expected a value: "text" in quotes, a number, true, false or a [list]'),
        ("a = yes", "1:5", 'expected a value: "text" in quotes, a number, true, false or a [list]'),
        ("\na 3", "2:3", "expected = and a value after the key"),
        ("a = 1 b = 2", "1:7", "expected the end of the line after the value"),
        ("a = 1\na = 2\n", "2:6", "this key or section stands here a second time; keep one of them"),
        ("[a]\n[b]\n[a]\n", "3:3", "this key or section stands here a second time; keep one of them"),
        ('a = "x\n', "1:7", "expected a closing quote on the same line"),
        ('a = """x', "1:9", "expected a closing quote"),
        ("a = [1,\n2\n", "3:1", "expected , or ] in the list"),
        ("a = {b = 1\n", "1:11", "expected , or } in the inline table"),
        ("[a\n", "1:3", "expected ']' at the end of a table declaration"),
        ('a = "C:\\Users"', "1:10", "expected \\\\ for a backslash, or the text in 'single quotes'"),
        ('a = "\\p"', "1:8", "expected \\\\ for a backslash, or the text in 'single quotes'"),
        ("[=]", "1:2", "expected the name of a key or section"),
        ("\0", "1:1", "expected a key = value, a [section] or a # comment"),
    ],
)
def test_broken_toml_has_a_line_a_column_and_what_was_expected(
    file: Path, text: str, place: str, sentence: str
) -> None:
    """A slip of the pen is found by its place, in words that need no knowledge of TOML."""
    assert problems(file, text) == [f"config.toml:{place}: this is not TOML: {sentence}"]


@pytest.mark.parametrize(
    "name",
    [
        "access_key",
        "acess_key_id",
        "secret_access_key",
        "secret",
        "token",
        "session_token",
        "password",
        "key",
    ],
)
def test_a_credential_is_refused_and_never_repeated(file: Path, name: str) -> None:
    """A key that would hold a secret is told where secrets belong; its value appears nowhere."""
    (from_file,) = problems(file, f'[publish.s3]\n{name} = "AKIAEXAMPLE"\n')
    (from_variable,) = problems(file, **{f"PUBLISH__S3__{name.upper()}": "AKIAEXAMPLE"})
    assert from_file.startswith(f"config.toml:2: publish.s3.{name}: credentials never stand in")
    assert from_variable.startswith(f"GHOSTROLL_PUBLISH__S3__{name.upper()}: credentials never stand in")
    assert "systemd credentials" in from_file
    assert "AKIAEXAMPLE" not in from_file + from_variable


@pytest.mark.parametrize(
    "address",
    ["https://ann:hunter2@s3.example.org", "https://x.org/?token=hunter2", "https://x.org/#hunter2"],
)
def test_an_address_carries_no_secret(file: Path, address: str) -> None:
    """Addresses with a password or a query are refused without being repeated."""
    (problem,) = problems(file, f'publish.s3.endpoint_url = "{address}"')
    assert "expected an address such as https://s3.example.org" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("address", ["", "http://10.0.0.2:9000", "https://s3.example.org/path"])
def test_an_ordinary_address_is_taken(file: Path, address: str) -> None:
    """An address with a port or a path is fine, and so is none."""
    assert load(file, f'publish.s3.base_url = "{address}"').settings.publish.s3.base_url == address


@pytest.mark.parametrize(
    "address", ["s3.example.org", "ftp://x.org", "http://", "http://x:y", "http://[", "http://a b"]
)
def test_what_is_no_address_is_refused(file: Path, address: str) -> None:
    """Without http(s) and a host, and a number for a port, it is no address."""
    assert "expected an address" in problems(file, f'publish.s3.base_url = "{address}"')[0]


def test_a_variable_with_a_bad_value_is_named(file: Path) -> None:
    """Where a variable is wrong, the problem starts with its name, not with a line."""
    assert problems(file, COPY__TRUST_KNOWN="1", CARDS__MARKERS="DCIM", RENDER__WORKERS="9" * 30) == [
        (
            'GHOSTROLL_CARDS__MARKERS: cards.markers: expected a list of at least one folder name, such as ["DCIM"], '
            'got "DCIM"'
        ),
        'GHOSTROLL_COPY__TRUST_KNOWN: copy.trust_known: expected true or false, got "1"',
        f'GHOSTROLL_RENDER__WORKERS: render.workers: expected a whole number from 0 to 64, got "{"9" * 30}"',
    ]
