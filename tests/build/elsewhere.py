"""What one machine makes of a project: content keys of all layers, diff ids of file layers.

A program of its own, so that a test can run it as another user, at another time and in another place:
`python -m tests.build.elsewhere PROJECT STORE` prints JSON. With TRIGGER_TEST_CLOCK its own clock is ahead by
that many seconds, for machines that have no faketime.
"""

import json
import os
import pwd
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any


def clock_ahead(seconds: float) -> None:
    """Let this process' clock be ahead."""
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 10**9)


def describe(root: Path, store_folder: Path) -> dict[str, Any]:
    from triggerdev.build.deploy_plan import plan_image
    from triggerdev.build.deploying.assembling import FileLayers
    from triggerdev.build.deploying.secrets import Secrets
    from triggerdev.build.oci.image import Settings, append, scratch
    from triggerdev.build.oci.model import Platform
    from triggerdev.build.oci.store import BlobStore
    from triggerdev.build.progress import Progress
    from triggerdev.config import load_config

    plan = plan_image(load_config(root, env_name="prod", environ={}), "prod", {}).plan
    python = Settings(env={"PYTHON_VERSION": "3.11.9", "PYTHON_SHA256": "that of Python's own image"})
    lower = append(scratch(Platform("linux", "amd64")), [], python)
    store = BlobStore(store_folder)
    files = FileLayers(store, Progress(), "linux/amd64", Secrets({}, {}), os.environ)
    made = files.make(plan.appended, lower, store)
    built = {layer.id: each.layer for layer, each in zip(plan.appended, made, strict=True)}
    return {
        "keys": {layer.id: layer.key for layer in plan.layers},
        "diff_ids": {name: layer.diff_id for name, layer in built.items()},
        "blobs": {name: layer.blob.digest for name, layer in built.items()},
        "surroundings": {
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "umask": f"{os.umask(0):03o}",
            "zone": time.strftime("%Z"),
            "day": datetime.fromtimestamp(time.time()).astimezone().date().isoformat(),
            "folder": str(root),
            "python": sys.executable,
        },
    }


if __name__ == "__main__":
    clock_ahead(float(os.environ.get("TRIGGER_TEST_CLOCK", 0)))
    time.tzset()
    print(json.dumps(describe(Path(sys.argv[1]), Path(sys.argv[2]))))
