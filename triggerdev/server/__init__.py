"""The HTTP API over an engine, in the wire format of the official clients.

Start with `app.create_app` and `serving.serve`.
"""
