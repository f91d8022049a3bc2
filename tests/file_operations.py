"""Every state that a folder is in while a program works: what a kill at any moment would leave.

Python reports all its file operations to `sys.addaudithook`, whoever asks for them, before they are carried out. So
nothing that writes can be forgotten: before each operation the folder is as a kill would leave it. And a file that is
being written may be there by half.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_hooks: list[Callable] = []  # of which there is at most one; a hook of Python's stays to the end of the process


def _hook(event: str, arguments: tuple) -> None:
    if _hooks and event in OPERATIONS:
        _hooks[0](event, arguments)


def states(folder: Path, program: Callable[[], None], kept: Path) -> list[Path]:
    """Run a program that writes in a folder, and copy each state of it that a kill may leave, each once.

    Args:
      folder: that does not exist yet.
      program: writes in this process; what other languages than Python write is not seen.
      kept: where copies are made: kept/0, kept/1, ...

    Returns:
      The copies in their order, the last being the finished state. The first has no folder in it.
    """
    if _hook not in _installed:
        sys.addaudithook(_hook)
        _installed.append(_hook)
    copies: list[Path] = []
    digests: set[str] = set()

    def keep(change: Callable[[Path], None] = lambda copy: None) -> None:
        copy = kept / str(len(copies))
        copy.mkdir(parents=True)
        if folder.exists():
            shutil.copytree(folder, copy / folder.name)
        change(copy)
        if (digest := _digest(copy)) in digests:
            shutil.rmtree(copy)
        else:
            digests.add(digest)
            copies.append(copy)

    def on_event(event: str, arguments: tuple) -> None:
        path = Path(os.fsdecode(arguments[0])) if isinstance(arguments[0], str | bytes | os.PathLike) else None
        if path is None or not (path == folder or folder in path.parents):
            return
        appended = event == "open" and "a" in (arguments[1] or "") and path.suffix == ".jsonl"
        if event == "open" and not (set(arguments[1] or "") & set("wax+") or (arguments[2] or 0) & WRITING):
            return
        own = Path(folder.name) / path.relative_to(folder)
        _hooks.clear()  # the copying is none of the program's operations
        try:
            keep()
            if appended:
                keep(lambda copy: _append(copy / own))
            elif event == "os.rename":
                keep(lambda copy: os.truncate(copy / own, (copy / own).stat().st_size // 2))
        finally:
            _hooks.append(on_event)

    _hooks.append(on_event)
    try:
        program()
    finally:
        _hooks.clear()
    keep()
    return copies


_installed: list[Callable] = []


def _append(path: Path) -> None:
    """Half a line of a log."""
    with open(path, "ab") as file:
        file.write(b'{"seed": 0, "na')


def _digest(folder: Path) -> str:
    """Of all names and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()
