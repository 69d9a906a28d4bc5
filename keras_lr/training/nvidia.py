"""Whether the machine has an NVIDIA GPU and its driver, read from the system and not through TensorFlow."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NVIDIA_VENDOR = "0x10de"
_DISPLAY_CLASS = "0x03"
_QUERY_SECONDS = 10


@dataclass(frozen=True)
class Nvidia:
    """What the operating system knows of NVIDIA hardware.

    Attributes:
        present: Whether an NVIDIA display controller is on the bus, or its driver is loaded.
        driver_version: Version of the loaded kernel driver; None where none is loaded.
        memory_mebibytes: Total memory of each GPU in MiB, in the driver's order; empty where `nvidia-smi` is missing.
    """

    present: bool
    driver_version: str | None
    memory_mebibytes: tuple[int, ...] = ()


def read_nvidia(root: Path = Path("/")) -> Nvidia:
    """Reads the bus, the driver's version and each GPU's memory; starts no CUDA context.

    Args:
        root: Where `proc` and `sys` are mounted.
    """
    version_file = root / "proc/driver/nvidia/version"
    driver = _driver_version(version_file.read_text()) if version_file.is_file() else None
    on_bus = any(_is_nvidia_display(device) for device in (root / "sys/bus/pci/devices").glob("*"))
    return Nvidia(
        present=on_bus or driver is not None,
        driver_version=driver,
        memory_mebibytes=_memory() if driver is not None else (),
    )


def _driver_version(text: str) -> str | None:
    found = re.search(r"Module[^\n]*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return found.group(1) if found else None


def _is_nvidia_display(device: Path) -> bool:
    try:
        vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
    except OSError:
        return False
    return vendor == _NVIDIA_VENDOR and kind.startswith(_DISPLAY_CLASS)


def _memory() -> tuple[int, ...]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    query = [command, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_QUERY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(line) for line in answer.stdout.split() if line.isdecimal())
