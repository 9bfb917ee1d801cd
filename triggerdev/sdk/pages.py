"""Listings in pages: await one page, or iterate over all of them."""

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from triggerdev.sdk import http
from triggerdev.sdk.calls import drive, drive_iterator

T = TypeVar("T")


class Page(Generic[T]):
    """One page. `next` and `previous` are cursors for `after=` and `before=`, None at the ends."""

    def __init__(self, data: list[T], next_cursor: str | None, previous: str | None) -> None:
        self.data = data
        self.next = next_cursor
        self.previous = previous

    def __iter__(self) -> Iterator[T]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class Listing(Generic[T]):
    """A listing that is fetched as needed: `await` gives its first page, `async for` goes through all."""

    def __init__(
        self, path: str, params: Mapping[str, Any], size: int | None, read: Callable[[dict[str, Any]], T]
    ) -> None:
        self._path = path
        self._params = dict(params)
        if size is not None:
            self._params["page[size]"] = size
        self._read = read

    def __await__(self) -> Generator[Any, Any, Page[T]]:
        return self.page().__await__()

    def __aiter__(self) -> AsyncIterator[T]:
        return self._items()

    async def page(self, after: str | None = None) -> Page[T]:
        """Fetch one page, the first or the one after a cursor."""
        params = {**self._params, "page[after]": after} if after else self._params
        answer = (await http.request("GET", self._path, params=params)).body
        cursors = answer.get("pagination") or {}
        return Page(
            [self._read(item) for item in answer["data"]], cursors.get("next"), cursors.get("previous")
        )

    async def _items(self) -> AsyncIterator[T]:
        page = await self.page()
        while True:
            for item in page.data:
                yield item
            if not page.next:
                return
            page = await self.page(page.next)


class SyncListing(Generic[T]):
    """A listing for code without an event loop: `data` is the first page, iterating goes through all."""

    def __init__(self, listing: Listing[T]) -> None:
        self._listing = listing
        self._first: Page[T] | None = None

    @property
    def data(self) -> list[T]:
        return self.page().data

    def page(self) -> Page[T]:
        """Fetch the first page, once."""
        if self._first is None:
            self._first = drive(self._listing.page())
        return self._first

    def __iter__(self) -> Iterator[T]:
        return drive_iterator(aiter(self._listing))


def commas(value: str | Sequence[str] | None) -> str | None:
    """Write one or several values as a filter of the API."""
    return value if value is None or isinstance(value, str) else ",".join(value)
