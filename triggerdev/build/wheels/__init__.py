"""Python dependencies as files: uv installs wheels here, for the image's Python and platform.

Packages are never built on this machine: those without wheels are installed inside the image instead.

    uv.py          finding uv and running it; what it says is masked
    install.py     from the plan's inputs to an installed tree; packages without wheels are an own error
    normalise.py   that tree as members of a layer, the same on every machine
    interpreter.py where the image has its Python
    venv.py        where the tree goes: a virtual environment on that Python
    layer.py       the layer of a content key
"""
