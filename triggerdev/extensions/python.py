"""`python`: scripts that tasks run beside themselves (`triggerdev.python`), and what these import."""

import os
import shlex
from typing import Annotated

import pydantic

from triggerdev import errors
from triggerdev.build import dependencies, tokens
from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildEnv, BuildLayer, DeployEnv, FileMapping, FilePath
from triggerdev.build.options import Options
from triggerdev.extensions import support

_VARIABLE = "PYTHON_BIN_PATH"
# Scripts see the project's dependencies, too; their own go first.
_LINK = (
    "import sysconfig; own = sysconfig.get_path('purelib'); "
    "open(own + '/project.pth', 'w').write('/opt/venv' + own[len(__import__('sys').prefix):] + '\\n')"
)


def _requirement(text: str) -> str:
    if not tokens.is_requirement(text.strip()):
        raise ValueError(f"{text!r} is no requirement; write name, name>=1.2 or name==1.2")
    return text.strip()


class PythonOptions(Options):
    """`scripts`: globs of files; `requirements` (a list) or `requirements_file`: what the scripts import."""

    scripts: list[FilePath] = []
    requirements: list[Annotated[str, pydantic.AfterValidator(_requirement)]] = []
    requirements_file: FilePath | None = None
    dev_python_binary_path: FilePath | None = None
    version: str | None = None

    @pydantic.model_validator(mode="after")
    def _one_source(self) -> "PythonOptions":
        if self.requirements and self.requirements_file is not None:
            raise ValueError("requirements and requirements_file cannot both be set")
        return self


class Python(BuildExtension):
    """Bring scripts into the image and, if they have requirements, an environment for them."""

    name = "python"
    Options = PythonOptions
    options: PythonOptions

    async def on_build_start(self, context: BuildContext) -> None:
        """Refuse a version other than that of the runtime, which also runs the scripts."""
        wanted, runtime = self.options.version, context.config.runtime
        if wanted is not None and runtime != f"python-{wanted}":
            raise errors.BuildError(
                f"version is {wanted!r}, but in Python projects scripts run in the Python of the runtime "
                f'({runtime}); set runtime = "python-3.12" or another one, and leave the option out'
            )

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the scripts and the environment."""
        if self.options.scripts:
            files = [FileMapping(source=source) for source in self.options.scripts]
            context.add_layer(BuildLayer(id=f"{self.name}-scripts", files=files))
        if context.target == "dev":
            self._in_dev(context)
        elif self.options.requirements or self.options.requirements_file is not None:
            context.add_layer(self._environment(context))

    def _in_dev(self, context: BuildContext) -> None:
        chosen = self.options.dev_python_binary_path
        if chosen is not None:
            path = os.path.normpath(context.working_dir / chosen) if "/" in chosen else chosen
            context.add_layer(
                BuildLayer(id=self.name, deploy=DeployEnv(env={_VARIABLE: path}, override=True))
            )

    def _environment(self, context: BuildContext) -> BuildLayer:
        """Describe a virtual environment, below the project's own dependencies in the image."""
        home = f"{support.FOLDER}/{self.name}"
        python = f"{home}/bin/python"
        files: list[FileMapping] = []
        listed = " ".join(map(shlex.quote, self.options.requirements))
        if self.options.requirements_file is not None:
            names = dependencies.gather(context.working_dir, self.options.requirements_file, self.name)
            folder = f"{home}/requirements"
            files = [FileMapping(source=name, destination=f"{folder}/{name}") for name in names]
            first = os.path.normpath(self.options.requirements_file)
            listed = f"-r {shlex.quote(f'{folder}/{first}')}"
        env = {_VARIABLE: python}
        return BuildLayer(
            id=self.name,
            placement="base",
            files=files,
            commands=[
                f"python -m venv {home}",
                f"{python} -m pip install --disable-pip-version-check --no-cache-dir --no-compile {listed}",
                f'{python} -c "{_LINK}"',
            ],
            image=support.image(env=env),
            build=BuildEnv(secrets=dict.fromkeys(context.config.build.secrets)),
            deploy=support.deploy(env),
        )
