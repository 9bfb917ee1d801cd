"""The build system: files, hooks, folding, rendering, the dry run."""
