"""Connections to the database that DATABASE_URL names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from shop.models import Base


@cache
def _engine(url: str) -> Engine:
    engine = create_engine(url, pool_pre_ping=True)
    Base.metadata.create_all(engine)  # a larger shop has migrations instead
    return engine


@contextmanager
def transaction() -> Iterator[Session]:
    """Open a session; what was done in it is committed at the end, or rolled back after an error."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise RuntimeError("DATABASE_URL is not set; it names the shop's database")
    with Session(_engine(url)) as session, session.begin():
        yield session
