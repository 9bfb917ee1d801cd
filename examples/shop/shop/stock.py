"""Reserving what customers order, and giving it back."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from shop.models import Line, Order, Product


class OutOfStockError(Exception):
    """There is less of a product than was ordered."""


def reserve(session: Session, order_id: str, email: str, items: Mapping[str, int]) -> Order:
    """Make an order and take its items from the stock; an order that is there already stays as it is."""
    existing = session.get(Order, order_id)
    if existing is not None:
        return existing
    order = Order(id=order_id, email=email)
    # In the order of their numbers, so that two orders never wait for each other.
    for sku, quantity in sorted(items.items()):
        product = session.scalar(select(Product).where(Product.sku == sku).with_for_update())
        if product is None or product.in_stock < quantity:
            raise OutOfStockError(f"{sku}: {quantity} ordered, {product.in_stock if product else 0} in stock")
        product.in_stock -= quantity
        order.lines.append(Line(product=product, quantity=quantity, price_cents=product.price_cents))
    order.total_cents = sum(line.quantity * line.price_cents for line in order.lines)
    session.add(order)
    return order


def settle(session: Session, order_id: str, status: str) -> Order:
    """End an order that is reserved as "paid" or "expired"; what has expired goes back to the stock."""
    order = session.scalar(select(Order).where(Order.id == order_id).with_for_update())
    if order is None:
        raise LookupError(f"there is no order {order_id}")
    if order.status == "reserved":
        order.status = status
        if status == "expired":
            for line in order.lines:
                line.product.in_stock += line.quantity
    return order
