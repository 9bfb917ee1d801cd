"""`trigger.config.toml` and `.env` files: one strict model, and every mistake with its place."""

from triggerdev.config.envfiles import load_env_files
from triggerdev.config.loader import FILE_NAME, LoadedConfig, Origin, find_config, load_config
from triggerdev.config.rendering import config_error
from triggerdev.config.source import Position

__all__ = [
    "FILE_NAME",
    "LoadedConfig",
    "Origin",
    "Position",
    "config_error",
    "find_config",
    "load_config",
    "load_env_files",
]
