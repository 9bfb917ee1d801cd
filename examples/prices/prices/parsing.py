"""Finding name and price in a page: schema.org's data first, then what is marked in the text."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bs4 import BeautifulSoup

_NUMBER = re.compile(r"\d[\d., ]*")


class NoPriceError(Exception):
    """A page has no price where prices are."""


@dataclass(frozen=True)
class Offer:
    name: str
    price: Decimal
    currency: str


def offer(html: str) -> Offer:
    """Find what a page offers. Raises NoPriceError."""
    page = BeautifulSoup(html, "html.parser")
    for product in _products(page):
        found = product.get("offers") or {}
        found = found[0] if isinstance(found, list) else found
        if "price" in found:
            name = str(product.get("name", ""))
            return Offer(name, _number(str(found["price"])), str(found.get("priceCurrency", "EUR")))
    marked = page.select_one("[itemprop=price], .price")
    if marked is None:
        raise NoPriceError("nothing is marked as a price; has the page changed?")
    heading = page.find("h1")
    text = str(marked.get("content") or marked.get_text())
    return Offer(heading.get_text(strip=True) if heading else "", _number(text), "EUR")


def _products(page: BeautifulSoup) -> Iterator[dict[str, Any]]:
    for script in page.select('script[type="application/ld+json"]'):
        try:
            data = json.loads(script.get_text())
        except ValueError:
            continue  # pages hold all sorts of things
        for each in data if isinstance(data, list) else [data]:
            if isinstance(each, dict) and each.get("@type") == "Product":
                yield each


def _number(text: str) -> Decimal:
    """Read "1.299,90 €" and "1,299.90"; what comes last divides whole from part, if two digits follow."""
    match = _NUMBER.search(text)
    if match is None:
        raise NoPriceError(f"{text.strip()[:50]!r} is no price")
    digits = match[0].replace(" ", "").rstrip(".,")
    mark = "," if digits.rfind(",") > digits.rfind(".") else "."
    whole, divided, part = digits.rpartition(mark)
    if not divided or len(part) != 2:
        whole, part = digits, "00"
    return Decimal(f"{re.sub('[.,]', '', whole)}.{part}")
