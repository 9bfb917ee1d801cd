"""The worker protocol: what an engine and the processes that execute runs say to each other.

Messages are JSON objects with a type in "t". They travel in batches (a frame is a JSON array), over three
hops that share these types: engine <-> supervisor, supervisor <-> version process, supervisor <-> worker
process. All times are milliseconds since the epoch, all durations milliseconds. A run is addressed by
(run, token): the token is the fencing token of the attempt's lease and grows with every claim, so a message
with an old one is refused.

Engine -> worker     Start Resume OpDone Reply Cancel Evict LeaseLost
Worker -> engine     Op Park Wake Done Evicted Lost LogBatch SpanBatch
Version process      Load -> (importing) -> Loaded | LoadFailed;  Fork -> Forked | unforkable;  Exited
Worker process       (welcome) (taken) (blocked, unblocked) (ping -> pong) (shutdown)

Those in parentheses stay between a supervisor and its processes: `importing {file}` names what is imported,
in case it hangs; `unforkable {threads}`: workers must be spawned; `taken {runs: [[run, token], ...]}`: these
have reached user code, so a death now may be their fault, and the process has so many bytes in memory without
them (`resident`, `private`); `blocked {run, ms, stack}`: a coroutine keeps its loop. `done` may say that the
process is `worn` (it keeps too much memory), `evicted` that its run is a `suspect` of having used up its
loop's memory; a supervisor hears that and takes it out.

Operation ids are opaque to everybody but the executor. It writes `<path>:<n>`, where path is that of the
asyncio task (`0`, `0.1`, ...; hooks have branches of their own, such as `0.on_start`), and for metadata
`<path>:m<k>` (a flush) and `<path>:<n>:r` (what a wait brought). What a step does has the path `<path>.s<n>`,
where the step itself is `<path>:<n>`.
"""

from typing import Any

from triggerdev.protocol.limits import DEFAULT_MACHINE as DEFAULT_MACHINE
from triggerdev.protocol.limits import INLINE_BYTES as INLINE_BYTES
from triggerdev.protocol.limits import MACHINES as MACHINES
from triggerdev.protocol.limits import MAX_ATTEMPTS as MAX_ATTEMPTS
from triggerdev.protocol.limits import MAX_OUTPUT_BYTES as MAX_OUTPUT_BYTES
from triggerdev.protocol.limits import MAX_PAYLOAD_BYTES as MAX_PAYLOAD_BYTES
from triggerdev.protocol.limits import MAX_STORED_BYTES as MAX_STORED_BYTES
from triggerdev.protocol.limits import MIN_MAX_DURATION as MIN_MAX_DURATION
from triggerdev.protocol.limits import PROTOCOL as PROTOCOL
from triggerdev.protocol.limits import STORED as STORED
from triggerdev.protocol.logs_and_spans import LogBatch as LogBatch
from triggerdev.protocol.logs_and_spans import LogLine as LogLine
from triggerdev.protocol.logs_and_spans import SpanBatch as SpanBatch
from triggerdev.protocol.logs_and_spans import SpanRecord as SpanRecord
from triggerdev.protocol.manifest import Manifest as Manifest
from triggerdev.protocol.manifest import QueueInfo as QueueInfo
from triggerdev.protocol.manifest import RetryInfo as RetryInfo
from triggerdev.protocol.manifest import ScheduleInfo as ScheduleInfo
from triggerdev.protocol.manifest import SourceProblem as SourceProblem
from triggerdev.protocol.manifest import TaskInfo as TaskInfo
from triggerdev.protocol.operations import BATCH_TRIGGER as BATCH_TRIGGER
from triggerdev.protocol.operations import BATCH_TRIGGER_AND_WAIT as BATCH_TRIGGER_AND_WAIT
from triggerdev.protocol.operations import COMPLETE_TOKEN as COMPLETE_TOKEN
from triggerdev.protocol.operations import CREATE_TOKEN as CREATE_TOKEN
from triggerdev.protocol.operations import METADATA as METADATA
from triggerdev.protocol.operations import RESET_KEY as RESET_KEY
from triggerdev.protocol.operations import SCHEDULE as SCHEDULE
from triggerdev.protocol.operations import STEP as STEP
from triggerdev.protocol.operations import TAGS as TAGS
from triggerdev.protocol.operations import TRIGGER as TRIGGER
from triggerdev.protocol.operations import TRIGGER_AND_WAIT as TRIGGER_AND_WAIT
from triggerdev.protocol.operations import WAIT as WAIT
from triggerdev.protocol.operations import WAIT_TOKEN as WAIT_TOKEN
from triggerdev.protocol.operations import WAITING_KINDS as WAITING_KINDS
from triggerdev.protocol.operations import Op as Op
from triggerdev.protocol.operations import OpDone as OpDone
from triggerdev.protocol.operations import OpRecord as OpRecord
from triggerdev.protocol.operations import Reply as Reply
from triggerdev.protocol.operations import is_refusal as is_refusal
from triggerdev.protocol.processes import Exited as Exited
from triggerdev.protocol.processes import Fork as Fork
from triggerdev.protocol.processes import Forked as Forked
from triggerdev.protocol.processes import Load as Load
from triggerdev.protocol.processes import Loaded as Loaded
from triggerdev.protocol.processes import LoadFailed as LoadFailed
from triggerdev.protocol.results import ChildResult as ChildResult
from triggerdev.protocol.results import ErrorInfo as ErrorInfo
from triggerdev.protocol.runs import Cancel as Cancel
from triggerdev.protocol.runs import Done as Done
from triggerdev.protocol.runs import Evict as Evict
from triggerdev.protocol.runs import Evicted as Evicted
from triggerdev.protocol.runs import LeaseLost as LeaseLost
from triggerdev.protocol.runs import Lost as Lost
from triggerdev.protocol.runs import Park as Park
from triggerdev.protocol.runs import Resume as Resume
from triggerdev.protocol.runs import RunStart as RunStart
from triggerdev.protocol.runs import Start as Start
from triggerdev.protocol.runs import Wake as Wake
from triggerdev.protocol.settings import PluginSettings as PluginSettings
from triggerdev.protocol.settings import PriceTable as PriceTable
from triggerdev.protocol.settings import TelemetrySettings as TelemetrySettings
from triggerdev.protocol.settings import WorkerSettings as WorkerSettings

Message = dict[str, Any]
