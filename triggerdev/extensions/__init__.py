"""The build extensions that come with this package: one file each, loaded when a project names them."""

BUILT_IN: dict[str, str] = {
    "additional-files": "triggerdev.extensions.additional_files:AdditionalFiles",
    "additional-packages": "triggerdev.extensions.additional_packages:AdditionalPackages",
    "apt-get": "triggerdev.extensions.apt_get:AptGet",
    "audio-waveform": "triggerdev.extensions.audio_waveform:AudioWaveform",
    "emit-decorator-metadata": "triggerdev.extensions.emit_decorator_metadata:EmitDecoratorMetadata",
    "esbuild-plugin": "triggerdev.extensions.esbuild_plugin:EsbuildPlugin",
    "ffmpeg": "triggerdev.extensions.ffmpeg:Ffmpeg",
    "lightpanda": "triggerdev.extensions.lightpanda:Lightpanda",
    "playwright": "triggerdev.extensions.playwright:Playwright",
    "prisma": "triggerdev.extensions.prisma:Prisma",
    "puppeteer": "triggerdev.extensions.puppeteer:Puppeteer",
    "python": "triggerdev.extensions.python:Python",
    "sync-env-vars": "triggerdev.extensions.sync_env_vars:SyncEnvVars",
}
"""Names that `use` knows, and where the class is."""
