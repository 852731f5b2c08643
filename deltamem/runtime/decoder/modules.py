"""Single-launch forwards for the backbone's own modules, in force during a decoding step and never else.

Model code stays transformers': it calls its projections, norms and MLPs as ever, and inside `Modules.fast` they answer
with the kernels. A module that is not exactly of the expected kind is left alone. Whether all of it adds up to the
same model is not reasoned about but tried: see `Decoder` in decoder.py.
"""

import sys
from contextlib import contextmanager

import torch
from torch import nn

from deltamem.core.attach import attention_modules
from deltamem.core.binding import base_of
from deltamem.kernels.rms_norm import rms_norm
from deltamem.kernels.rotary import HeadNorms, rotary
from deltamem.kernels.small_linear import LowRank, small_gated_linear, small_linear


class Modules:
    """The forwards that one decoding engine puts in place of the backbone's. memories: its MemoryRows."""

    def __init__(self, backbone, memories):
        self._memories = memories
        self._forwards = []  # (module, function)
        self._rotaries = []  # modules of Python code whose apply_rotary_pos_emb is replaced
        self._norms = None  # norms of the heads of the attention module that runs now
        found = attention_modules(base_of(backbone))
        for name, attention in attention_modules(backbone).items():
            self._take_attention(name, attention)
        taken = {id(module) for module, _ in self._forwards}
        inside = {id(part) for attention in found.values() for part in attention.modules()}
        for module in backbone.modules():
            if _is_norm(module) and id(module) not in inside:
                self._put(module, lambda x, m=module: rms_norm(x, m.weight, m.variance_epsilon))
            elif _is_gated(module):
                self._put(module, lambda x, m=module: _gated(m, x))
        head = backbone.get_output_embeddings()
        if _is_linear(head) and id(head) not in taken:
            self._put(head, lambda x: small_linear(x[:, 0], [head.weight], [head.bias])[0][:, None])

    @contextmanager
    def fast(self):
        """The block runs single-token passes with the forwards of this object. The model must be locked."""
        plain = [vars(code)["apply_rotary_pos_emb"] for code in self._rotaries]
        for code in self._rotaries:
            code.apply_rotary_pos_emb = self._turn
        for module, function in self._forwards:
            module.__dict__["forward"] = function  # past nn.Module.__setattr__, which is slow
        try:
            yield
        finally:
            for module, _ in self._forwards:
                del module.__dict__["forward"]
            for code, function in zip(self._rotaries, plain, strict=True):
                code.apply_rotary_pos_emb = function

    def _put(self, module, function):
        if "forward" not in vars(module):  # a module that somebody else has changed is theirs
            self._forwards.append((module, function))

    def _take_attention(self, name, attention):
        """Projections with the memory in one launch each; norms of the heads with the rotary turn in one."""
        linear = [getattr(attention, f"{head}_proj") for head in "qkvo"]
        here = [(rows, *rows.packed_weights(name)) for rows in self._memories if rows.packed_weights(name)]
        if not all(_is_linear(module) for module in linear):
            if here:
                raise TypeError(f"{name} has projections of type {type(linear[0]).__name__}, not nn.Linear")
            return
        into, out = _Inputs(linear[:3], name, here), _Output(linear[3], name, here)
        norms = self._take_head_norms(attention)

        def project(x):
            self._norms = norms
            return into.query(x)

        self._put(attention.q_proj, project)
        self._put(attention.k_proj, into.key)
        self._put(attention.v_proj, into.value)
        self._put(attention.o_proj, out)

    def _take_head_norms(self, attention):
        code = sys.modules[type(attention).__module__]
        if not callable(vars(code).get("apply_rotary_pos_emb")):
            return None
        if code not in self._rotaries:
            self._rotaries.append(code)
        norms = [getattr(attention, f"{head}_norm", None) for head in "qk"]
        dim = getattr(attention, "head_dim", None)
        if not all(_is_norm(norm) and norm.weight.shape == (dim,) for norm in norms):
            return None
        if norms[0].variance_epsilon != norms[1].variance_epsilon:
            return None
        for norm in norms:
            self._put(norm, lambda x: x)  # taken into the turn
        return HeadNorms(norms[0].weight, norms[1].weight, norms[0].variance_epsilon)

    def _turn(self, q, k, cos, sin, *_, **__):
        q, k = rotary(q[:, :, 0], k[:, :, 0], cos[:, 0], sin[:, 0], self._norms)
        return q[:, :, None], k[:, :, None]


class _Inputs:
    """q, k and v projections and the memories' own, of x [B, 1, hidden], in one launch when q is asked for."""

    def __init__(self, linear, name, memories):
        self._name, self._memories = name, [rows for rows, _, _ in memories]
        self._weights = [module.weight for module in linear]
        self._biases = [module.bias for module in linear]
        self._widths = [weight.shape[0] for _, weight, _ in memories]
        if memories:
            self._weights.append(torch.cat([weight for _, weight, _ in memories]))
            self._biases.append(torch.cat([bias for _, _, bias in memories]))
        self._made = {}

    def query(self, x):
        q, k, v, *packed = small_linear(x[:, 0], self._weights, self._biases)
        self._made = {"q": q, "k": k, "v": v}
        if packed:
            for rows, part in zip(self._memories, packed[0].split(self._widths, dim=1), strict=True):
                rows.advance(self._name, part, self._made)
        return self._made.pop("q")[:, None]

    def key(self, x):
        return self._made.pop("k")[:, None]

    def value(self, x):
        return self._made.pop("v")[:, None]


class _Output:
    """o projection with the memories' corrections."""

    def __init__(self, linear, name, memories):
        self._linear = linear
        self._steering = [(rows, rows.names.index(name)) for rows, _, _ in memories if "o" in rows.scales]

    def __call__(self, x):
        low_rank, steering = None, self._steering
        if len(steering) == 1 and not steering[0][0].config.delta_o_rmsnorm:
            rows, place = steering[0]
            weight = rows.layers[place]._parameters["delta_o_proj"]
            low_rank, steering = LowRank(0, rows.reads[place], weight, rows.scales["o"][place]), ()
        out = small_linear(x[:, 0], [self._linear.weight], [self._linear.bias], low_rank)[0]
        for rows, place in steering:
            out = out + rows.correction(place, "o", rows.reads[place]).to(out.dtype)
        return out[:, None]


def _gated(mlp, x):
    hidden = small_gated_linear(x[:, 0], mlp.gate_proj.weight, mlp.up_proj.weight)
    return small_linear(hidden, [mlp.down_proj.weight], [mlp.down_proj.bias])[0][:, None]


def _is_linear(module):
    return type(module) is nn.Linear


def _is_norm(module):
    weight = getattr(module, "weight", None)
    named = type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon")
    return named and isinstance(weight, nn.Parameter) and weight.ndim == 1 and len(list(module.children())) == 0


def _is_gated(module):
    """A gated MLP of the Llama kind, with SiLU and without biases on the gate."""
    parts = [getattr(module, f"{part}_proj", None) for part in ("gate", "up", "down")]
    if not all(_is_linear(part) for part in parts) or len(list(module.children())) > 4:
        return False
    silu = type(getattr(module, "act_fn", None)).__name__ in ("SiLU", "SiLUActivation")
    return silu and parts[0].bias is None and parts[1].bias is None
