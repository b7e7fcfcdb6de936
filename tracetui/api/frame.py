"""A trace's records as a pandas table."""

from __future__ import annotations

import importlib
from typing import Any

from tracetui.recording.table import COLUMNS, rows
from tracetui.recording.trace import Trace


def dataframe(trace: Trace) -> Any:
    """A DataFrame with a row for each record. Raises ImportError saying what to install."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError("a DataFrame needs pandas: pip install pandas; without it, see Trace.records") from error
    return pandas.DataFrame(list(rows(trace)), columns=list(COLUMNS))
