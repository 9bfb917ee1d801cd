"""What an image says of itself: who runs in it, what starts, how its health is asked for, its labels."""

from triggerdev.build.files import APP
from triggerdev.build.oci.image import HealthCheck, Settings
from triggerdev.build.plan import ImagePlan
from triggerdev.build.source import RUNTIME

VENV = "/opt/venv"
PYTHON = f"{VENV}/bin/python"
USER = "1000:1000"
_PROGRAM = (PYTHON, "-m", "triggerdev.worker")


def of(plan: ImagePlan, project: str) -> Settings:
    """Give the settings of an image; they depend on plan and project only, so equal images stay equal."""
    base, _, digest = plan.base.partition("@")
    return Settings(
        env={
            "HOME": "/tmp",  # noqa: S108 - the one folder that every user may write to in every image
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{RUNTIME}:{APP}",
            "PYTHONUNBUFFERED": "1",
            "USER": "worker",  # what getpass says, since the user has no line in /etc/passwd
        },
        path=(f"{VENV}/bin",),
        # dumb-init reaps what tasks leave behind, and passes signals on to the worker only.
        entrypoint=(f"{VENV}/bin/dumb-init", "--single-child", "--", *_PROGRAM),
        command=("start",),
        user=USER,
        working_dir=APP,
        stop_signal="SIGTERM",
        labels={
            "dev.triggerdev.runtime": plan.runtime,
            **({"org.opencontainers.image.base.digest": digest} if digest else {}),
            "org.opencontainers.image.base.name": base,
            "org.opencontainers.image.title": project,
        },
        health_check=HealthCheck((*_PROGRAM, "health"), interval=15, timeout=5, start_period=30),
    )
