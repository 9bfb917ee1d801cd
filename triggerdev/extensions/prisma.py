"""`prisma`: the client of Prisma Client Python, generated in the image."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from triggerdev import errors
from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.files import APP
from triggerdev.build.layers import BuildEnv, BuildLayer, DeployEnv, EnvName, FileMapping, FilePath
from triggerdev.build.options import Options
from triggerdev.extensions import downloads, support

_NODE_ONLY = "belongs to @prisma/client in Node projects; Python projects have no such thing"
_VARIABLES = {
    "query-engine": "PRISMA_QUERY_ENGINE_BINARY",
    "schema-engine": "PRISMA_SCHEMA_ENGINE_BINARY",
}
_GENERATOR = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"


class PrismaOptions(Options):
    """`schema`: a file, or a folder of .prisma files; `migrate`: a deploy migrates the database."""

    schema_path: FilePath = pydantic.Field(alias="schema")
    version: Annotated[str, pydantic.Field(pattern=support.VERSION)] | None = None
    migrate: bool = False
    client_generator: Annotated[str, pydantic.Field(pattern=_GENERATOR)] | None = None
    direct_url_env_var_name: EnvName | None = None
    query_engine: FilePath | None = None
    schema_engine: FilePath | None = None
    node: Annotated[str, pydantic.AfterValidator(downloads.version_of("node"))] = "22.20.0"
    typed_sql: bool = False
    mode: Literal["legacy", "engine-only", "modern"] | None = None

    @pydantic.field_validator("typed_sql", "mode")
    @classmethod
    def _for_node(cls, value: object) -> object:
        if value not in (False, None, "legacy"):
            raise ValueError(f"{value!r} {_NODE_ONLY}")
        return value


class Prisma(BuildExtension):
    """Generate the client after the Python dependencies are there; the engine is fetched by Prisma itself."""

    name = "prisma"
    Options = PrismaOptions
    options: PrismaOptions

    async def on_build_start(self, context: BuildContext) -> None:
        """Refuse a schema that is not there."""
        path = context.working_dir / self.options.schema_path
        if not path.exists():
            raise errors.BuildError(
                f"there is no Prisma schema at {self.options.schema_path!r}; it is relative to the "
                "config's folder"
            )
        if path.is_dir() and not any(path.glob("*.prisma")):
            raise errors.BuildError(f"the folder {self.options.schema_path!r} has no .prisma files")

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add Node.js, which the generator runs in, and the generated client."""
        if context.target != "deploy":
            return
        version = support.version_in_use(context, "prisma", self.options.version)
        context.logger.debug(f"client of prisma {version} from {self.options.schema_path}")
        context.add_layer(support.node(context, self.options.node, self.name))
        home = f"{support.FOLDER}/{self.name}"
        env = {"PRISMA_BINARY_CACHE_DIR": f"{home}/binaries", "PRISMA_USE_NODEJS_BIN": "false"}
        env |= {_VARIABLES[name]: f"{home}/{name}" for name in self._engines()}
        context.add_layer(
            BuildLayer(
                id=self.name,
                placement="dependencies",
                files=self._files(context),
                commands=self._commands(home),
                image=support.image(["ca-certificates", "openssl"], env),
                build=BuildEnv(secrets=dict.fromkeys(context.config.build.secrets)),
                deploy=self._deploy(env),
                dependencies={"prisma": version},
            )
        )

    def _deploy(self, env: dict[str, str]) -> DeployEnv:
        """Describe the variables and, since no image build gets the database's address, who migrates when."""
        if not self.options.migrate:
            return support.deploy(env)
        names = ["DATABASE_URL", *filter(None, [self.options.direct_url_env_var_name])]
        command = f"python -m prisma migrate deploy --schema={shlex.quote(self._schema())}"
        return DeployEnv(env=env, override=True, commands=[command], secrets=names)

    def _schema(self) -> str:
        return f"{APP}/{Path(self.options.schema_path).as_posix().removeprefix('./')}"

    def _files(self, context: BuildContext) -> list[FileMapping]:
        schema = Path(self.options.schema_path)
        is_folder = (context.working_dir / schema).is_dir()
        files = [FileMapping(source=f"{schema.as_posix()}/**/*.prisma" if is_folder else schema.as_posix())]
        if self.options.migrate:
            folder = schema if is_folder else schema.parent
            files.append(FileMapping(source=(folder / "migrations").as_posix()))
        home = f"{support.FOLDER}/{self.name}"
        for name, source in self._engines().items():
            files.append(FileMapping(source=source, destination=f"{home}/{name}"))
        return files

    def _engines(self) -> dict[str, str]:
        """Give the engines that the project brings itself; others are fetched by Prisma."""
        given = {"query-engine": self.options.query_engine, "schema-engine": self.options.schema_engine}
        return {name: source for name, source in given.items() if source is not None}

    def _commands(self, home: str) -> list[str]:
        chosen = self.options.client_generator
        generator = f" --generator={chosen}" if chosen else ""
        return [
            f"python -m prisma generate --schema={shlex.quote(self._schema())}{generator}",
            f"chmod -R a+rX {home}\nrm -rf /root/.npm /root/.cache",
        ]
