"""The version of this distribution; a worker and the command must agree on it."""

__version__ = "0.1.0"
