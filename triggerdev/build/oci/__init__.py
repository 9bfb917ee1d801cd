"""Images without a container engine: layers, configs and manifests written and sent by ourselves.

Nothing here knows docker, a project or its configuration; import-linter holds that.

    members.py     what a layer holds: sorted, parents included, contained
    tar.py         members as the bytes of a tar, the same everywhere
    compression.py gzip with fixed chunks and a fixed header
    layer.py       one pass: tar, diff id, gzip, digest, blob
    store.py       blobs and layers in the user's cache folder
    image.py       config and manifest on top of a base
    layout.py      OCI layouts on disk
    contents.py    looking for files in layers
    archive.py     a tar for `docker load` and `podman load`
"""
