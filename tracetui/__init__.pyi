from tracetui.api.attention import Attention as Attention
from tracetui.api.debugging import Debugged as Debugged
from tracetui.api.debugging import debug as debug
from tracetui.api.differences import Diff as Diff
from tracetui.api.differences import diff as diff
from tracetui.api.opening import open_trace as open_trace
from tracetui.api.recording import trace as trace
from tracetui.api.routing import Routing as Routing
from tracetui.api.stops import StopHit as StopHit
from tracetui.api.stops import stops as stops
from tracetui.api.trace import Trace as Trace
from tracetui.errors import InputError as InputError
from tracetui.errors import RunError as RunError

__version__: str
