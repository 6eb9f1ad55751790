"""`ghostroll config`, as a person meets it."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ghostroll.cli.config_commands import config_app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small configuration file."""
    path = tmp_path / "config.toml"
    path.write_text('[library]\npath = "/srv/photos"\n\n[copy]\nattempts = 4\n', "utf-8")
    return path


def run(*arguments: str | Path, **environ: str) -> Result:
    """Run `ghostroll config` with these arguments and variables, and none of ours that are set here."""
    foreign = {name: None for name in os.environ if name.startswith("GHOSTROLL_")}
    return CliRunner().invoke(
        config_app, list(map(str, arguments)), env={**foreign, "HOME": "/home/ann", **environ}
    )


def test_check_says_that_a_file_is_fine(file: Path) -> None:
    """A good file is named in one line, however it was found."""
    for result in (run("check", "--config", file), run("check", GHOSTROLL_CONFIG=str(file))):
        assert (result.exit_code, result.stdout) == (0, f"{file} is fine.\n")


def test_check_names_every_problem(file: Path) -> None:
    """All problems stand on standard error, one per line, and the exit code is 2."""
    file.write_text("[copy]\nattempts = 0\ntreads = 1\n", "utf-8")
    result = run("check", "--config", file)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{file}:2: copy.attempts: expected a whole number from 1 to 10, got 0",
        f"{file}:3: copy.treads: unknown key; did you mean copy.threads_per_card?",
    ]


def test_show_prints_toml_with_origins(file: Path) -> None:
    """Every value stands in a line of TOML; the comment says where it came from."""
    result = run("show", "--config", file, GHOSTROLL_RENDER__WORKERS="3")
    lines = {line.split(" = ")[0]: line.split("  # ") for line in result.stdout.splitlines()}
    values = tomllib.loads(result.stdout)
    assert result.exit_code == 0
    assert values["library"]["path"] == "/srv/photos"
    assert values["cards"]["leave_out"][0] == "System Volume Information"
    assert lines["library.path"][1] == f"{file}:2"
    assert lines["render.workers"][1] == "environment GHOSTROLL_RENDER__WORKERS"
    assert lines["state.path"][1] == "default: /srv/photos/.ghostroll/state.db"
    assert lines["publish.s3.bucket"][1] == "default"


def test_show_gives_scripts_one_object(file: Path) -> None:
    """With --json each key has its value and its origin."""
    result = run("show", "--json", "--config", file)
    shown = json.loads(result.stdout)
    assert shown["file"] == str(file)
    assert shown["values"]["copy.attempts"] == {"value": 4, "from": f"{file}:5"}
    assert shown["values"]["publish.target"] == {"value": "folder", "from": "default"}
    assert shown["values"]["cards.leave_out"]["value"][-1] == "._*"
    assert shown["values"]["state.path"] == {"value": "", "from": "default"}


def test_what_show_prints_can_be_loaded_again(file: Path, tmp_path: Path) -> None:
    """The table is a configuration itself, with the same values."""
    again = tmp_path / "again.toml"
    again.write_text(run("show", "--config", file).stdout, "utf-8")
    first = json.loads(run("show", "--json", "--config", file).stdout)["values"]
    second = json.loads(run("show", "--json", "--config", again).stdout)["values"]
    assert {key: one["value"] for key, one in first.items()} == {
        key: one["value"] for key, one in second.items()
    }


def test_show_of_a_broken_file_is_an_error(tmp_path: Path) -> None:
    """There is nothing in force to show: exit code 2 and the problem."""
    result = run("show", "--config", tmp_path)
    assert (result.exit_code, result.stderr) == (2, f"{tmp_path}: this is a folder; name the file in it\n")


@pytest.mark.parametrize("command", ["check", "show"])
def test_help_has_an_example(command: str) -> None:
    """The help of each command shows how it is used."""
    assert "Example: ghostroll config" in run(command, "--help").stdout


def test_importing_settings_loads_no_validator() -> None:
    """A process that only needs the types of settings doesn't pay for pydantic."""
    probe = "import sys, ghostroll.config; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
