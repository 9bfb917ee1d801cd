"""The worker of a deployed image: what `python -m triggerdev.worker` does there.

code.py      the settings that the build put beside the code, the hash of what was indexed
indexing.py  `index`: import the tasks, print what was found; needs no network and no secret
service.py   `start`: a supervisor with the image's code, until it is told to stop
health.py    `health`: ask the service whether it is well
link.py      what brings runs to the service
"""
