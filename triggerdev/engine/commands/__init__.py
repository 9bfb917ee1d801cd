"""The engine's commands: synchronous functions over a `Context`, one concept a file."""
