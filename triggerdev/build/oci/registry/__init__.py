"""A client of the OCI distribution API: images and layers are pulled, mounted and pushed without an engine.

reference.py    names of images
credentials.py  who we are: docker's config.json and credential helpers
auth.py         Basic, and Bearer tokens for a scope
transport.py    requests that are tried again, with errors in words
repository.py   one repository: manifests and blobs, read and mounted
upload.py       a blob as one request, or in chunks that go on where they broke off
push.py         an image: what is missing, in parallel, then its manifest
keyed.py        layers that are found by content key
"""
