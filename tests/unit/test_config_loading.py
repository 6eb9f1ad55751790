"""From a file and an environment to settings: which file is taken, what beats what, and where each value came from."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from configuring import HOME, load, problems

from ghostroll.config import ConfigError, PublishTarget, load_settings, loading
from ghostroll.config.keys import Key, all_keys
from ghostroll.errors import UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An empty configuration file, so that none of this computer is read."""
    path = tmp_path / "config.toml"
    path.touch()
    return path


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
