"""Stripping docstrings from Python source; line numbers stay what they are."""

import ast


def strip_docstrings(source: bytes) -> bytes:
    """Replace docstrings by nothing (modules) or `pass`; source that is no UTF-8 Python is kept."""
    try:
        source.decode("utf-8")
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    lines = source.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    found = [(node, doc) for node in ast.walk(tree) if (doc := _docstring(node)) is not None]
    for node, doc in sorted(found, key=lambda pair: -pair[1].lineno):
        _blank(lines, doc, b"" if isinstance(node, ast.Module) else b"pass")
    return b"".join(lines)


def _docstring(node: ast.AST) -> ast.Expr | None:
    if (
        not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        or not node.body
    ):
        return None
    first = node.body[0]
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return None
    return first if isinstance(first.value.value, str) else None


def _blank(lines: list[bytes], doc: ast.Expr, replacement: bytes) -> None:
    """Cut one docstring out of the lines, leaving their number as it is."""
    assert doc.end_lineno is not None and doc.end_col_offset is not None  # set by the parser
    first, last = doc.lineno - 1, doc.end_lineno - 1
    before, after = lines[first][: doc.col_offset], lines[last][doc.end_col_offset :]
    if after.lstrip().startswith(b";"):
        return  # a statement follows on the same line; a lone semicolon would be no Python
    ends = [line[len(line.rstrip(b"\r\n")) :] for line in lines[first:last]]
    if last == first:
        lines[first] = before + replacement + after
        return
    lines[first] = before + replacement + ends[0]
    lines[first + 1 : last] = ends[1:]
    lines[last] = after.lstrip(b" \t") if not after.strip() else after
