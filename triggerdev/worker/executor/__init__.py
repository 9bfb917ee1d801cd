"""What executes runs inside a worker process: user code, its hooks, its durable operations, its output."""
