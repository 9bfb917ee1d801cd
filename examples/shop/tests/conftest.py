"""A database for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import database
from shop.models import Product


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A shop with cups and plates; SQLite is enough for tests."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'shop.db'}")
    with database.transaction() as session:
        session.add(Product(sku="cup", name="A cup", price_cents=900, in_stock=5))
        session.add(Product(sku="plate", name="A plate", price_cents=1200, in_stock=1))
    yield
    database._engine.cache_clear()
