"""The build extensions that come with this package: one file each, loaded when a project names them."""

BUILT_IN: dict[str, str] = {
    "apt-get": "triggerdev.extensions.apt_get:AptGet",
    "additional-files": "triggerdev.extensions.additional_files:AdditionalFiles",
    "sync-env-vars": "triggerdev.extensions.sync_env_vars:SyncEnvVars",
}
"""Names that `use` knows, and where the class is."""

PLANNED: dict[str, str] = {
    "ffmpeg": 'the package of Debian is there with apt-get: packages = ["ffmpeg"]',
    "audio-waveform": "a custom extension can install its .deb",
    "playwright": "a custom extension can run its installer",
    "puppeteer": "for Node projects",
    "lightpanda": "a custom extension can add its binary",
    "prisma": "a custom extension can run its generator",
    "python": "in Python projects, tasks and requirements are part of the image anyway",
    "additional-packages": "Python tools can be listed as dependencies",
    "emit-decorator-metadata": "for Node projects",
    "esbuild-plugin": "for Node projects",
}
"""Names that are known but not there yet, and what helps meanwhile."""
