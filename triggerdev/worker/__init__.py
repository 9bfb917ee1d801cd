"""Loads user code and executes runs in child processes; the supervisor of those processes."""
