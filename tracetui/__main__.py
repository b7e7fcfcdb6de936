"""The program. Signals are caught before anything else is imported, and end the process at once when all is done."""

import _signal  # type: ignore[import-not-found]  # the part that is built in: nothing is looked for on disk
import gc
import sys

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Until there is code that ends in order, Ctrl-C ends the process as it ends any other.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

from tracetui.signals import catch_signals, check_signals, leave_signals, told_to_end


def main() -> int:
    """Run the command in sys.argv; returns the exit status."""
    catch_signals()
    try:
        from tracetui.cli import main as run_command

        check_signals()
        return run_command()
    except BaseException:
        # In a class that is just being made, what a signal raises becomes a RuntimeError.
        if (number := told_to_end()) is None:
            raise
        return 128 + number
    finally:
        leave_signals()
        # Python would go through all objects three times yet; the system takes all of them back at once.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
