"""From a file and an environment to settings, or to every problem at once."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ghostroll.config import ConfigError, Loaded, PublishTarget, load_settings, loading
from ghostroll.config.keys import Key, all_keys
from ghostroll.errors import UsageError

HOME = {"HOME": "/home/ann"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty configuration file, so that none of this computer is read."""
    path = tmp_path / "config.toml"
    path.touch()
    return path


def load(file: Path, text: str | bytes = "", **environ: str) -> Loaded:
    """Load a file with this content under an environment of these variables."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(file, HOME | {f"GHOSTROLL_{name}": value for name, value in environ.items()})


def problems(file: Path, text: str | bytes = "", **environ: str) -> list[str]:
    """Return the problems of a configuration, without the file's folder."""
    with pytest.raises(ConfigError) as caught:
        load(file, text, **environ)
    return str(caught.value).replace(str(file), "config.toml").split("\n")


def test_an_empty_file_gives_the_defaults(file: Path) -> None:
    """Without a word in the file everything has its default, under the home folder of the environment."""
    loaded = load(file)
    assert loaded.settings.library.path == Path("/home/ann/Pictures/ghostroll")
    assert loaded.settings.state.path is None
    assert loaded.settings.copy.trust_known is True
    assert loaded.settings.publish.target is PublishTarget.FOLDER
    assert set(loaded.origins.values()) == {"default"}
    assert list(loaded.origins) == list(all_keys())
    assert loaded.file == file


def test_values_know_where_they_came_from(file: Path) -> None:
    """The file beats the default, the environment beats the file, and each value says so."""
    loaded = load(
        file,
        '[library]\npath = "/srv/photos"\n[copy]\nattempts = 4\ntrust_known = false\n',
        COPY__ATTEMPTS="5",
        PUBLISH__S3__BUCKET="photos",
    )
    assert loaded.settings.library.path == Path("/srv/photos")
    assert loaded.settings.copy.attempts == 5
    assert loaded.settings.copy.trust_known is False
    assert loaded.settings.publish.s3.bucket == "photos"
    assert {name: origin for name, origin in loaded.origins.items() if origin != "default"} == {
        "library.path": f"{file}:2",
        "copy.attempts": "environment GHOSTROLL_COPY__ATTEMPTS",
        "copy.trust_known": f"{file}:5",
        "publish.s3.bucket": "environment GHOSTROLL_PUBLISH__S3__BUCKET",
    }


@pytest.mark.parametrize("key", all_keys().values(), ids=all_keys())
def test_every_key_can_be_set_by_the_environment(file: Path, key: Key) -> None:
    """A variable that repeats the default is taken, for each key there is."""
    text: object = str(key.default).lower() if isinstance(key.default, bool) else key.default
    if isinstance(text, tuple):
        text = "[" + ", ".join(f"'{one}'" for one in text) + "]"
    loaded = load_settings(file, HOME | {key.variable: str(text)})
    assert loaded.settings == load_settings(file, HOME).settings
    assert loaded.origins[key.name] == f"environment {key.variable}"


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


def test_names_that_only_look_like_keys_are_left_alone(file: Path) -> None:
    """What tests and the command line use is no key; anything else with our prefix is a mistake."""
    names = ("CONFIG", "CRASH_AT", "CRASH_LOG", "SAMPLES", "RENDER_FAULT")
    load(file, **dict.fromkeys(names, "x"))
    assert problems(file, WHATEVER="x", COPY__TRUST_NOWN="true") == [
        (
            "GHOSTROLL_COPY__TRUST_NOWN: no key of the configuration has this name; "
            "did you mean GHOSTROLL_COPY__TRUST_KNOWN?"
        ),
        "GHOSTROLL_WHATEVER: no key of the configuration has this name",
    ]


def test_a_file_from_another_system_is_read(file: Path) -> None:
    """A byte order mark and CRLF line ends change nothing, not even the lines."""
    loaded = load(file, b"\xef\xbb\xbf[publish]\r\n# x\r\nkeep_days = 3\r\n")
    assert loaded.settings.publish.keep_days == 3
    assert loaded.origins["publish.keep_days"] == f"{file}:3"


def test_a_path_that_is_not_utf8_is_taken_from_the_environment(file: Path) -> None:
    """A folder whose name is not UTF-8 can still be the library."""
    loaded = load(file, LIBRARY__PATH=os.fsdecode(b"/srv/caf\xe9"))
    assert os.fsencode(loaded.settings.library.path) == b"/srv/caf\xe9"


def test_a_tilde_is_the_home_folder(file: Path) -> None:
    """Only a tilde on its own or before a slash is replaced."""
    assert load(file, 'library.path = "~"').settings.library.path == Path("/home/ann")
    assert load(file, 'library.path = "~/x"').settings.library.path == Path("/home/ann/x")
    assert "expected a full path" in problems(file, 'library.path = "~bob/x"')[0]


def test_without_a_home_folder_the_library_needs_a_path(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no home folder is known the default is a problem too, beside those of the file."""
    monkeypatch.setenv("HOME", "relative")
    file.write_text("library = 3\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {})
    assert str(caught.value).split("\n") == [
        f"{file}:1: library: expected a section; write [library] and its keys below",
        (
            'default: library.path: expected a full path, such as "/srv/photos" or "~/photos", '
            'got "~/Pictures/ghostroll"'
        ),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'a = 1\n"\xe9"', "config.toml:2: not UTF-8 text; save the file as UTF-8"),
        (
            b"a = " + b"[" * 30_000,
            "config.toml: this is not a configuration: things stand too deep in each other",
        ),
        (
            b".".join([b"a"] * 900) + b"=1",
            "config.toml: this is not a configuration: things stand too deep in each other",
        ),
        (b"a = " + b"1" * 5000, "config.toml: this is not a configuration: a number in it is far too long"),
        (b"#" * 70_000, "config.toml: larger than 64 KiB: this can't be a configuration"),
    ],
    ids=["latin-1", "nested", "dotted", "digits", "large"],
)
def test_a_file_that_is_no_configuration_gets_one_sentence(file: Path, content: bytes, sentence: str) -> None:
    """Whatever the bytes are, the answer is one line and no traceback."""
    assert problems(file, content) == [sentence]


def test_a_file_that_is_not_there_is_an_error_where_it_was_named(tmp_path: Path) -> None:
    """--config and GHOSTROLL_CONFIG must name a file; an empty variable names none."""
    missing = tmp_path / "missing.toml"
    sentence = f"{missing}: there is no such file; name an existing one or leave it out"
    with pytest.raises(UsageError, match=sentence) as caught:
        load_settings(missing, HOME)
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match=sentence):
        load_settings(None, HOME | {"GHOSTROLL_CONFIG": str(missing)})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """Naming the folder instead of the file is said so."""
    with pytest.raises(ConfigError, match=f"^{tmp_path}: this is a folder; name the file in it$"):
        load_settings(tmp_path, HOME)


def test_a_file_that_fails_to_be_read_gets_one_sentence() -> None:
    """What the system says of a failing read is passed on with the name."""
    with pytest.raises(ConfigError, match=r"^/proc/self/mem: can't be read: Input/output error$"):
        load_settings(Path("/proc/self/mem"), HOME)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Give up the rights of root for a while, where the tests have them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_of_somebody_else_is_not_passed_over(file: Path) -> None:
    """A file that this user can't read is an error, named or found; the next one is not taken instead."""
    home = file.parent / "home"
    (home / ".config/ghostroll").mkdir(parents=True)
    (home / ".config/ghostroll/config.toml").touch()
    file.chmod(0)
    home.chmod(0)
    try:
        with ordinary_user(), pytest.raises(ConfigError, match="not readable for this user"):
            load_settings(file, HOME)
        with ordinary_user(), pytest.raises(ConfigError, match="can't be read: Permission denied"):
            load_settings(None, {"HOME": str(home)})
    finally:
        home.chmod(stat.S_IRWXU)


def test_files_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line, the variable, the user's folder, the system's: the first there is, is the only one."""
    system, option, variable = (tmp_path / name for name in ("system.toml", "option.toml", "variable.toml"))
    xdg = tmp_path / "xdg/ghostroll/config.toml"
    user = tmp_path / "home/.config/ghostroll/config.toml"
    monkeypatch.setattr(loading, "SYSTEM_FILE", system)
    home = {"HOME": str(tmp_path / "home")}
    with_xdg = home | {"XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    named = with_xdg | {"GHOSTROLL_CONFIG": str(variable)}
    assert load_settings(None, home).file is None
    for path in (system, option, variable, xdg, user):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert load_settings(option, named).file == option
    assert load_settings(None, named).file == variable
    assert load_settings(None, with_xdg | {"GHOSTROLL_CONFIG": ""}).file == xdg
    assert load_settings(None, home).file == user
    assert load_settings(None, home | {"XDG_CONFIG_HOME": "relative"}).file == user
    xdg.unlink()
    assert load_settings(None, with_xdg).file == system
    user.unlink()
    user.symlink_to("nowhere")
    with pytest.raises(ConfigError, match="there is no such file"):
        load_settings(None, home)
