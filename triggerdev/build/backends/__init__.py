"""Container engines: what executes the layers that must be executed, and where images are kept.

protocol.py        what an engine must be able to do
choosing.py        which one is used
docker.py          Docker, by its command line (building) and its API (the rest)
buildah.py         podman and buildah, by their command lines
buildkit.py        what `docker build` prints, as events
buildah_output.py  what `podman build` and `buildah build` print, as events
features.py        what Containerfiles an engine understands
secret_files.py    build secrets as files
programs.py        running a program: its lines as they come, its end, and that it ends with us
"""
