"""The hub within reach for one step, and what it refuses told in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import CRITICAL

from tracetui.errors import InputError, RunError, TracetuiError
from tracetui.recipe.hub import HubId
from tracetui.text import visible

SECONDS = 20.0
"""How long the hub may take to begin an answer."""
_SWITCHES = {
    "HF_HUB_OFFLINE": False,
    "HF_HUB_DISABLE_TELEMETRY": True,
    # Xet has connections of its own, and no byte ranges.
    "HF_HUB_DISABLE_XET": True,
    "HF_HUB_DISABLE_SHARED_BLOBS": True,
}
_TOKEN = "set HF_TOKEN to a token of yours that may read it"  # noqa: S105


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, or the public one."""
    from huggingface_hub import constants

    return constants.ENDPOINT


@contextmanager
def online(hub_id: HubId) -> Iterator[None]:
    """Requests to the hub are let through inside, by this process's only switch for them, and never after.

    Raises InputError for what the hub doesn't have or doesn't give, RunError if it can't be reached or answers wrongly.
    """
    from huggingface_hub import close_session, constants
    from huggingface_hub.utils import logging

    before = {name: getattr(constants, name) for name in _SWITCHES}
    verbosity = logging.get_verbosity()
    try:
        for name, value in _SWITCHES.items():
            setattr(constants, name, value)
        logging.set_verbosity(CRITICAL)
        # Imports the HTTP library, which a model that is here doesn't need.
        from tracetui.hub.answers import checked

        with checked(), _plain_errors(hub_id):
            yield
    finally:
        close_session()
        logging.set_verbosity(verbosity)
        for name, value in before.items():
            setattr(constants, name, value)


@contextmanager
def _plain_errors(hub_id: HubId) -> Iterator[None]:
    try:
        yield
    except TracetuiError:
        raise
    except (OSError, ValueError) as error:
        raise _in_words(hub_id, error) from error
    except Exception as error:
        from tracetui.hub.answers import from_hub_library

        if type(error).__module__.startswith(("httpx", "huggingface_hub")):
            raise _in_words(hub_id, error) from error
        if from_hub_library(error):
            words = f"{type(error).__name__}: {visible(str(error), 160)}"
            raise RunError(f"{hub_id}: {endpoint()} doesn't answer as the hub does: {words}") from error
        raise


def _in_words(hub_id: HubId, error: Exception) -> TracetuiError:
    from huggingface_hub import errors

    cause = error.__cause__
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(cause, Exception):
        return _in_words(hub_id, cause)
    if isinstance(error, errors.GatedRepoError):
        return InputError(
            f"{hub_id}: is gated and needs a token: agree to its terms at {endpoint()}/{hub_id.repo}, then {_TOKEN}"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return InputError(f"{hub_id}: the hub has no such model, or it is private: check the name, or {_TOKEN}")
    if isinstance(error, errors.RevisionNotFoundError):
        return InputError(f"{hub_id}: the hub has {hub_id.repo}, and no revision {hub_id.revision} of it")
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return InputError(f"{hub_id}: the hub has no file {_path(error.response.request.url.path)} of it")
    if isinstance(error, errors.HfHubHTTPError):
        return _status(hub_id, error.response.status_code)
    if isinstance(error, errors.FileMetadataError):
        return RunError(f"{hub_id}: {endpoint()} doesn't answer as the hub does: {visible(str(error), 200)}")
    if type(error).__module__.startswith("httpx") or isinstance(error, ConnectionError):
        return _unreached(error)
    if isinstance(error, OSError) and error.errno:
        return RunError(f"{hub_id}: what is fetched can't be kept: {error.strerror}: {error.filename or 'the cache'}")
    return RunError(f"{hub_id}: {visible(str(error), 200)}")


def _path(path: str) -> str:
    return visible(path.rpartition("/")[2], 80)


def _status(hub_id: HubId, status: int) -> TracetuiError:
    if status in (401, 403):
        return InputError(
            f"{hub_id}: the hub refuses it ({status}): it needs a token, or there is none of that name: {_TOKEN}"
        )
    if status == 404:
        return InputError(f"{hub_id}: the hub has no such file (404)")
    if status == 429:
        return RunError(f"{hub_id}: the hub has had too many requests (429); wait a few minutes, or {_TOKEN}")
    return RunError(f"{hub_id}: the hub failed with status {status}; try again later")


def _unreached(error: Exception) -> RunError:
    words = visible(str(error), 160) or type(error).__name__
    return RunError(f"{endpoint()}: can't be reached, or broke off: {words}; what was fetched is kept, try again")
