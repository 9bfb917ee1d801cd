"""What runs inside user code: tasks, waits, triggers, run queries, and the client behind them."""
