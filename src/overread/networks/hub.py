"""Pretrained weights from timm's hub, or a quick refusal; never minutes of retries."""

from __future__ import annotations

import functools
import os
import queue
import threading
import urllib.error
import urllib.request
from pathlib import Path

from overread.errors import ConfigError

FILES = ("model.safetensors", "pytorch_model.bin")
PROBE_S = 3.0


def fetch(name: str) -> Path:
    """The file of timm's pretrained weights for `name`, from the local cache or the hub.

    `HF_ENDPOINT`, `HF_HOME` and `HF_HUB_OFFLINE` are honoured.

    Raises:
        ConfigError: the network has none, or they are neither here nor to be had.
    """
    from huggingface_hub import try_to_load_from_cache

    repository = _repository(name)
    for file in FILES:
        cached = try_to_load_from_cache(repository, file)
        if isinstance(cached, str):
            return Path(cached)
    if _offline():
        raise _unavailable(name, "HF_HUB_OFFLINE is set and they are not in the local cache")
    if not _reachable(endpoint()):
        raise _unavailable(name, f"{endpoint()} does not answer")
    return _download(name, repository)


def endpoint() -> str:
    """The hub's address, or the user's mirror of it."""
    from huggingface_hub import constants

    return os.environ.get("HF_ENDPOINT") or str(constants.ENDPOINT)


def _repository(name: str) -> str:
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise _unavailable(name, "timm publishes none")
    return str(config.hf_hub_id)


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "TRUE", "YES", "ON"}


@functools.cache
def _reachable(address: str) -> bool:
    """Whether anything answers there. huggingface_hub itself would try for half a minute."""
    if not address.startswith(("http://", "https://")):
        raise ConfigError(f"HF_ENDPOINT is '{address}', which is not an http address")
    answers: queue.Queue[bool] = queue.Queue()
    # In a thread, since nothing else bounds the time that looking up a name may take.
    threading.Thread(target=lambda: answers.put(_answers(address)), daemon=True).start()
    try:
        return answers.get(timeout=PROBE_S)
    except queue.Empty:
        return False


def _answers(address: str) -> bool:
    request = urllib.request.Request(address, method="HEAD")  # noqa: S310 - checked by the caller
    try:
        urllib.request.urlopen(request, timeout=PROBE_S).close()  # noqa: S310
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _download(name: str, repository: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for file in FILES:
        try:
            path = Path(
                hf_hub_download(repository, file, etag_timeout=PROBE_S, endpoint=endpoint())
            )
        except LocalEntryNotFoundError as error:
            raise _unavailable(name, str(error).split(".")[0]) from error
        except EntryNotFoundError:
            continue
        except Exception as error:
            raise _unavailable(name, f"{type(error).__name__}: {error}") from error
        return path
    raise _unavailable(name, f"{repository} holds none of {', '.join(FILES)}")


def _unavailable(name: str, reason: str) -> ConfigError:
    return ConfigError(
        f"the pretrained weights of {name} cannot be had: {reason}",
        hint="Give a file with --weights FILE, or start at random with --from-scratch.",
    )
