"""``info`` as its events tell of it: what changed, and now and then the whole."""

from __future__ import annotations

from typing import Any

from sacred.journal.events import EventType

__all__ = ["info_after"]


def info_after(info: dict[str, Any], event_type: int, fields: dict[str, Any]) -> dict[str, Any]:
    """Return what ``info`` is after an ``INFO_CHANGED`` or ``INFO_SNAPSHOT``.

    Parameters
    ----------
    info
        What it was before; may be changed in place.
    event_type, fields
        Of the event. What leads nowhere in ``info`` is left out: nothing raises.
    """
    if event_type == EventType.INFO_SNAPSHOT:
        return _mapping(fields.get("info"))
    for path in fields.get("deleted") or ():
        _delete_path(info, path)
    for path, value in fields.get("set") or ():
        if path:
            _set_path(info, path, value)
        else:
            info = _mapping(value)
    return info


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _set_path(root: Any, path: list[Any], value: Any) -> None:
    holder = root
    for key in path[:-1]:
        step = _step(holder, key)
        if step is None:
            if not isinstance(holder, dict):
                return
            step = holder[key] = {}
        holder = step
    last = path[-1]
    if isinstance(holder, dict):
        holder[last] = value
    elif isinstance(holder, list) and isinstance(last, int):
        if 0 <= last < len(holder):
            holder[last] = value
        else:
            holder.append(value)


def _delete_path(root: Any, path: list[Any]) -> None:
    holder = root
    for key in path[:-1]:
        holder = _step(holder, key)
        if holder is None:
            return
    if isinstance(holder, dict):
        holder.pop(path[-1], None)


def _step(holder: Any, key: Any) -> Any:
    if isinstance(holder, dict):
        return holder.get(key)
    if isinstance(holder, list) and isinstance(key, int) and 0 <= key < len(holder):
        return holder[key]
    return None
