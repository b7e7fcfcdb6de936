"""The device that a recipe's model runs on, if torch has it here."""

from __future__ import annotations

import torch

from tracetui.errors import InputError

CPU = torch.device("cpu")


def device_of(name: str) -> torch.device:
    """The device that a recipe names, with its number. Raises InputError where torch has no such device."""
    kind, _, number = name.partition(":")
    if kind == CPU.type:
        return CPU
    if not torch.cuda.is_available():
        raise InputError(f"device: {name}: {_why_none()}")
    count = torch.cuda.device_count()
    index = int(number or torch.cuda.current_device())
    if index >= count:
        there = "there is one GPU, cuda:0" if count == 1 else f"there are {count} GPUs, cuda:0 to cuda:{count - 1}"
        raise InputError(f"device: {name}: {there}")
    return torch.device(kind, index)


def device_name(device: torch.device) -> str:
    """`NVIDIA A100`; the device's own name where torch tells no other."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _why_none() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        advice = "install a build for your GPU (pytorch.org), or leave --device out"
        return f"this torch ({torch.__version__}) is built without CUDA; {advice}"
    return "torch finds no GPU that it can use; look at what nvidia-smi and torch.cuda.is_available() say"
