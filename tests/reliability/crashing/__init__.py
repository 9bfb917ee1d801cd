"""Processes that die at named points, the work that reaches every one of these, and what must hold.

`client` is executed in processes of its own by `cases`, with one point armed; `audit` looks at the database.
"""
