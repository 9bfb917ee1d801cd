"""What both sides hold to: the version of the protocol, sizes, numbers of attempts, machines."""

from typing import Final

PROTOCOL: Final = 1
MAX_ATTEMPTS: Final = 250
MIN_MAX_DURATION: Final = 1  # second
MAX_PAYLOAD_BYTES: Final = 3_145_728
STORED: Final = "application/store"  # the type of a text that is the key of a stored body
MAX_STORED_BYTES: Final = 10_485_760  # of a payload that is uploaded, or sent by a run; and of an output
MAX_OUTPUT_BYTES: Final = MAX_STORED_BYTES
INLINE_BYTES: Final = 524_288  # what is larger is stored beside the database

# Machine presets: vCPU and memory in GB.
MACHINES: Final[dict[str, tuple[float, float]]] = {
    "micro": (0.25, 0.25),
    "small-1x": (0.5, 0.5),
    "small-2x": (1, 1),
    "medium-1x": (1, 2),
    "medium-2x": (2, 4),
    "large-1x": (4, 8),
    "large-2x": (8, 16),
}
DEFAULT_MACHINE: Final = "small-1x"
