"""Faults of a device, injected or real, and what tensors hold on to."""

import gc
from contextlib import contextmanager

import torch


def out_of_memory(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of 1 GiB")


def tensor_bytes():
    """Bytes of all storages that tensors hold on to, garbage that waits for a collection included."""
    storages = {}
    for one in gc.get_objects():
        if issubclass(type(one), torch.Tensor):
            storage = one.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


@contextmanager
def broken_pass(model, after, fault):
    """The backbone's passes break from number `after` on (counted from 0). fault(output) -> output, or raises."""
    count = iter(range(10**6))
    attention = model.backbone.model.layers[1].self_attn

    def hook(module, args, kwargs, output):
        return fault(output) if next(count) >= after else output

    handle = attention.register_forward_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def spoil(value):
    def fault(output):
        first = output[0] if isinstance(output, tuple) else output
        first = torch.full_like(first, value)
        return (first, *output[1:]) if isinstance(output, tuple) else first

    return fault


@contextmanager
def full_device(model, room=0):
    """No more than `room` bytes can be allocated on the model's device inside the block.

    On a GPU for real: the process may reserve no more than it has, and what lies free in there is taken. On a CPU every
    pass breaks instead.
    """
    if model.device.type != "cuda":
        handle = model.backbone.register_forward_pre_hook(out_of_memory)
        try:
            yield
        finally:
            handle.remove()
        return
    with full_card(model.device, room):
        yield


@contextmanager
def full_card(device, room=0):
    """As full_device, of a torch.device with an index. Other streams than the current one have no room at all."""
    spare, taken, size = torch.empty(room, dtype=torch.uint8, device=device), [], 1 << 30
    gc.collect()
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved(device) / total, device)
    try:
        while size >= 512:
            try:
                taken.append(torch.empty(size, dtype=torch.uint8, device=device))
            except torch.OutOfMemoryError:
                size //= 2
        del spare
        yield
    finally:
        taken.clear()
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def held_bytes(model):
    """Bytes of tensors on the model's device, without what is only kept to be faster next time."""
    model.decoder.release()
    gc.collect()
    if model.device.type != "cuda":
        return tensor_bytes()
    torch.cuda.synchronize(model.device)
    return torch.cuda.memory_allocated(model.device)
