"""From the host to the device without waiting for what the device still has to do."""

import torch


def upload(values, device):
    """A tensor of a (nested) list of numbers on the device.

    `torch.tensor(values, device=...)` would wait until a GPU has done all that was asked of it before, the steps of
    other sessions included.
    """
    tensor = torch.tensor(values)
    return tensor.pin_memory().to(device, non_blocking=True) if torch.device(device).type == "cuda" else tensor
