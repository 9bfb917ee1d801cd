"""The shop's web application: it takes orders and hands them to the tasks.

pip install '.[web]' && uvicorn web.api:app
"""

from fastapi import FastAPI

from triggerdev import runs, tasks, wait

app = FastAPI(title="shop")


@app.post("/orders", status_code=202)
async def order(cart: dict) -> dict[str, str]:
    """Take an order; a second one of the same number is the same order."""
    key = f"order-{cart['order_id']}"
    handle = await tasks.trigger("place-order", cart, idempotency_key=key, tags=[key])
    return {"run": handle.id}


@app.get("/orders/{run_id}")
async def state(run_id: str) -> dict[str, object]:
    """Tell how far an order is."""
    run = await runs.retrieve(run_id)
    return {"status": run.status, "output": run.output}


@app.post("/payments/{order_id}", status_code=204)
async def paid(order_id: str) -> None:
    """Hear from the payment provider."""
    await wait.complete_token(f"payment-{order_id}", {"paid": True})
