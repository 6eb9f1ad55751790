"""Configurations that a test writes down, and what is said of them."""

from pathlib import Path

import pytest

from ghostroll.config import ConfigError, Loaded, load_settings

HOME = {"HOME": "/home/ann"}


def load(file: Path, text: str | bytes = "", **environ: str) -> Loaded:
    """Load a file with this content under an environment of these variables."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(file, HOME | {f"GHOSTROLL_{name}": value for name, value in environ.items()})


def problems(file: Path, text: str | bytes = "", **environ: str) -> list[str]:
    """Return the problems of a configuration, without the file's folder."""
    with pytest.raises(ConfigError) as caught:
        load(file, text, **environ)
    return str(caught.value).replace(str(file), "config.toml").split("\n")
