"""A library as a client of HTTP may be: it makes an asyncio task, but only for a host that is new to it."""

from collections.abc import Awaitable, Callable

_SOURCE = """
import asyncio

known = set()


async def connect(host):
    await asyncio.sleep(0)
    known.add(host)


async def get(host):
    if host not in known:
        await asyncio.create_task(connect(host))
    return host
"""
_names: dict[str, Callable[[str], Awaitable[str]]] = {}
exec(compile(_SOURCE, "/usr/lib/site-packages/client.py", "exec"), _names)
get = _names["get"]
