"""`trigger completion SHELL`."""

from enum import StrEnum
from typing import Annotated

import typer

from triggerdev.cli.output import Output


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


_PLACES = {
    Shell.bash: 'add `eval "$(trigger completion bash)"` to ~/.bashrc',
    Shell.zsh: 'add `eval "$(trigger completion zsh)"` to ~/.zshrc, after compinit',
    Shell.fish: "write it to ~/.config/fish/completions/trigger.fish",
}


def completion(shell: Annotated[Shell, typer.Argument(help="The shell to complete in.")]) -> None:
    """Print a shell's completion script."""
    from typer._completion_shared import get_completion_script

    out = Output()
    script = get_completion_script(prog_name="trigger", complete_var="_TRIGGER_COMPLETE", shell=shell.value)
    out.text(script)
    out.say(f"To have it in every shell: {_PLACES[shell]}.")
