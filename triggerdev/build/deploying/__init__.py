"""`trigger deploy` without its terminal: from a loaded config to a recorded version.

options.py     what the command was asked for
prefix.py      the lower part of the image, which an engine executes, or the base image
assembling.py  layers of files on top of it, and the image's settings
indexing.py    the tasks, as the image or this machine finds them
missing.py     what would bring a module that the image lacks
outputs.py     where the image goes: an engine, a layout, a tar, a registry
pipeline.py    all of it in order
"""
