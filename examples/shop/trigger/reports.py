"""What the shop wants to know every morning."""

from datetime import timedelta

from shop.database import transaction
from shop.models import Line, Order
from sqlalchemy import func, select

from triggerdev import schedules


@schedules.task(id="daily-report", cron=schedules.Cron(pattern="0 6 * * *", timezone="Europe/Berlin"))
def daily_report(payload: schedules.Payload) -> dict[str, int | str]:
    """Count what was sold within the last day, and name what was sold most."""
    since = payload.timestamp.replace(tzinfo=None) - timedelta(days=1)
    paid = (Order.status == "paid", Order.created_at >= since)
    best = select(Line.sku).join(Order).where(*paid).group_by(Line.sku)
    best = best.order_by(func.sum(Line.quantity).desc()).limit(1)
    with transaction() as session:
        count, total = session.execute(select(func.count(), func.sum(Order.total_cents)).where(*paid)).one()
        return {"orders": count, "total_cents": total or 0, "best": session.scalar(best) or "nothing"}
