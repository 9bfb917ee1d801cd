"""The effective tree: `[env.<name>]` over the top level, then `${VARIABLES}` filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from triggerdev.config.document import Node
from triggerdev.config.positions import Span
from triggerdev.config.source import Source
from triggerdev.errors import Diagnostic

_DOLLAR = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<inside>[^{}]*)\}|(?P<open>\{))")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<kind>[-?])(?P<rest>.*))?", re.DOTALL)


def merge(base: Node, override: Node, env: str) -> Node:
    """Lay an environment's values over the base: tables merge deeply, everything else replaces."""
    if not (isinstance(base.value, dict) and isinstance(override.value, dict)):
        return _mark(override, env)
    merged: dict[str, Node] = dict(base.value)
    for key, node in override.value.items():
        merged[key] = merge(merged[key], node, env) if key in merged else _mark(node, env)
    return Node(merged, base.key, base.span, base.env)


def _mark(node: Node, env: str) -> Node:
    value = node.value
    if isinstance(value, dict):
        value = {key: _mark(child, env) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_mark(child, env) for child in value]
    return Node(value, node.key, node.span, env, node.variables)


class Interpolator:
    """Replaces `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in strings, and `$$` by `$`.

    Without variables (`environ` None) nothing is replaced; what would be is only noted in the nodes.
    """

    def __init__(self, source: Source, environ: Mapping[str, str] | None) -> None:
        self.source = source
        self.environ = environ
        self.problems: list[Diagnostic] = []

    def fill(self, node: Node) -> Node:
        """Return the tree with all strings filled in."""
        if isinstance(node.value, dict):
            return self._replaced(node, {key: self.fill(child) for key, child in node.value.items()})
        if isinstance(node.value, list):
            return self._replaced(node, [self.fill(child) for child in node.value])
        if isinstance(node.value, str) and "$" in node.value:
            return self._string(node, node.value)
        return node

    def _replaced(self, node: Node, value: object) -> Node:
        return Node(value, node.key, node.span, node.env, node.variables)

    def _string(self, node: Node, text: str) -> Node:
        variables: list[str] = []

        def replace(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "$"
            inside = _INSIDE.fullmatch(match["inside"] or "")
            if inside is None:
                self._report(
                    node, match, "expected `${NAME}` or `${NAME:-default}`", "a plain `$` is written `$$`"
                )
                return match.group()
            variables.append(inside["name"])
            return self._lookup(node, match, inside)

        filled = _DOLLAR.sub(replace, text)
        return Node(filled, node.key, node.span, node.env, tuple(variables))

    def _lookup(self, node: Node, match: re.Match[str], inside: re.Match[str]) -> str:
        if self.environ is None:
            return match.group()
        name, kind = inside["name"], inside["kind"]
        value = self.environ.get(name)
        if value or (value is not None and kind is None):
            return value
        if kind == "-":
            return inside["rest"]
        problem = f"the variable `{name}` is not set"
        if kind == "?":
            self._report(node, match, f"{problem}: {inside['rest']}", None)
        else:
            self._report(node, match, problem, f"set it, or write a default: ${{{name}:-default}}")
        return match.group()

    def _report(self, node: Node, match: re.Match[str], message: str, hint: str | None) -> None:
        span = node.place
        if span is not None:
            # Text without escapes stands in the file as it is, so the same count of `$`s leads to the place.
            count = match.string.count("$", 0, match.start())
            start = span.start - 1
            for _ in range(count + 1):
                start = self.source.text.find("$", start + 1, span.end)
            if self.source.text.startswith(match.group(), start):
                span = Span(start, start + len(match.group()))
        self.problems.append(self.source.diagnostic(span, message, hint=hint))
