"""`python -m triggerdev` is the command `trigger`."""

from triggerdev.cli.main import run

if __name__ == "__main__":
    run()
