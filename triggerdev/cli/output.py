"""The output of a command: stdout is data, stderr is talk, and `--json` puts exactly one object on stdout.

Every text that a user, a task or a server said passes `clean`, which makes control characters visible.
"""

import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

from triggerdev._terminal import clean, clean_lines, json_text, paint, table_lines, use_colour
from triggerdev.cli import exit_codes

_BLOCK_TONES = {"error": "red", "where": "cyan", "note": "dim"}
_MAX_ERROR_LINES = 400


class Output:
    """Where a command writes; with `as_json` only `result` and `object` reach stdout."""

    def __init__(self, as_json: bool = False, plain: bool = False) -> None:
        self.as_json = as_json
        self._colour_out = use_colour(sys.stdout, plain)
        self._colour_err = use_colour(sys.stderr, plain)

    def line(self, text: str = "", tone: str | None = None) -> None:
        """Print one line of data for people."""
        if not self.as_json:
            self._write(self._painted(clean(text), tone))

    def fields(self, pairs: Iterable[tuple[str, str | None]]) -> None:
        """Print names and values below each other; those without a value are left out."""
        rows = [(name, clean(value)) for name, value in pairs if value not in (None, "")]
        if not self.as_json:
            for line in table_lines(rows):
                self._write(line)

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print rows in columns under headers."""
        if self.as_json:
            return
        head, *lines = table_lines([list(headers), *([clean(cell) for cell in row] for row in rows)])
        self._write(self._painted(head, "dim"))
        for line in lines:
            self._write(line)

    def text(self, text: str) -> None:
        """Print text of several lines, as it is but for control characters."""
        if not self.as_json:
            for line in text.split("\n"):
                self._write(clean(line))

    def block(self, lines: Iterable[tuple[str, str]], indent: str = "    ") -> None:
        """Print (kind, text) lines as `render.error_lines` makes them; in JSON mode they go to stderr."""
        for kind, text in lines:
            tone = _BLOCK_TONES.get(kind)
            if self.as_json:
                self._talk(indent + text)
            else:
                self._write(indent + self._painted(text, tone))

    def result(self, value: Any) -> None:
        """Print the command's one object; nothing unless `--json` was given."""
        if self.as_json:
            self.object(value)

    def object(self, value: Any) -> None:
        """Print a value as one line of JSON, and at once: it may be a line of a stream."""
        self._write(json_text(value))
        sys.stdout.flush()

    def flush(self) -> None:
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """Tell the user something that is no data, on stderr."""
        for line in clean_lines(text):
            self._talk(line)

    def warn(self, text: str) -> None:
        first, *rest = clean_lines(text)
        label = paint("warning:", "yellow") if self._colour_err else "warning:"
        self._talk(f"{label} {first}")
        for line in rest:
            self._talk(line)

    def explain(self, lines: Iterable[tuple[str, str]]) -> None:
        """Print (kind, text) lines on stderr."""
        for kind, text in lines:
            tone = _BLOCK_TONES.get(kind)
            self._talk(paint(text, tone) if tone and self._colour_err else text)

    def _painted(self, text: str, tone: str | None) -> str:
        return paint(text, tone) if tone and self._colour_out else text

    def _write(self, text: str) -> None:
        sys.stdout.write(text + "\n")

    def _talk(self, text: str) -> None:
        sys.stdout.flush()  # keeps the order where both go to one terminal
        sys.stderr.write(text + "\n")


def print_error(message: str, help_lines: Sequence[str] = ()) -> None:
    """Print `error: ...` and what helps, on stderr."""
    sys.stdout.flush()
    colour = use_colour(sys.stderr)
    first, *rest = clean_lines(message, _MAX_ERROR_LINES)
    lines = [f"{paint('error:', 'red') if colour else 'error:'} {first}", *rest]
    lines += [f"{paint('help:', 'cyan') if colour else 'help:'} {clean(line)}" for line in help_lines]
    sys.stderr.write("\n".join(lines) + "\n")


def print_traceback(error: BaseException) -> None:
    """Print the traceback of an error, on stderr."""
    lines = "".join(traceback.format_exception(error)).rstrip("\n").split("\n")
    sys.stderr.write("\n".join(clean(line) for line in lines) + "\n")


def print_usage_error(error: Any) -> int:
    """Print what click found wrong with the command line, and return the exit code."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is None:
        print_error(message)
        return exit_codes.USAGE
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(context.get_help() + "\n")
        return exit_codes.USAGE
    print_error(f"{message}\n{context.get_usage()}", [f"`{context.command_path} --help` lists all options."])
    return exit_codes.USAGE
