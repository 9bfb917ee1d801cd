"""Repeat one simulation and print its events: `python -m tests.simulation 1234`."""

import sys

from tests.simulation.promises import BrokenPromiseError
from tests.simulation.world import World


def main() -> int:
    """Run the seed that is named; 0 if every promise was kept."""
    world = World(int(sys.argv[1]), remember=None)
    problem = ""
    try:
        world.run()
    except BrokenPromiseError as error:
        problem = str(error)
    print("\n".join(world.trace()))
    print(f"BROKEN: {problem}" if problem else f"{world.events} events, every promise was kept")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
