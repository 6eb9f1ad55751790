"""TOML and environment to one frozen Settings, with where every value came from."""

from ghostroll.config.keys import value_of
from ghostroll.config.loading import Loaded, find_config, load_settings
from ghostroll.config.problems import ConfigError
from ghostroll.config.settings import (
    S3,
    Addressing,
    Cards,
    Copy,
    Library,
    Log,
    LogFormat,
    LogLevel,
    Originals,
    Publish,
    PublishOnly,
    PublishTarget,
    Render,
    Settings,
    State,
    Station,
    Status,
)

__all__ = [
    "S3",
    "Addressing",
    "Cards",
    "ConfigError",
    "Copy",
    "Library",
    "Loaded",
    "Log",
    "LogFormat",
    "LogLevel",
    "Originals",
    "Publish",
    "PublishOnly",
    "PublishTarget",
    "Render",
    "Settings",
    "State",
    "Station",
    "Status",
    "find_config",
    "load_settings",
    "value_of",
]
