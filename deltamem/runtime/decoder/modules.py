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
from deltamem.kernels.attention_inputs import HeadNorms, attention_inputs
from deltamem.kernels.rms_norm import rms_norm
from deltamem.kernels.small_linear import LowRank, small_gated_linear, small_linear
from deltamem.runtime.decoder.late import Late


class Modules:
    """The forwards that one decoding engine puts in place of the backbone's.

    step: the engine's Step. memories: its MemoryRows.
    Raises TypeError when the backbone's attention is not made of the parts that can be replaced.
    """

    def __init__(self, backbone, step, memories):
        self._step, self._memories = step, memories
        self._forwards = []  # (module, function)
        self._codes = []  # modules of Python code with an apply_rotary_pos_emb, which has nothing to do in a step
        base, found = base_of(backbone), attention_modules(backbone)
        # Where every layer norms what it reads from the residual stream, adding to it can wait for the next norm.
        wrap = Late if _norms_first(backbone, found, base) else lambda x: x
        for name, attention in found.items():
            self._take_attention(name, attention, wrap)
        self._take_positions(base)
        inside = {id(part) for attention in found.values() for part in attention.modules()}
        for module in backbone.modules():
            if _is_norm(module) and id(module) not in inside:
                self._put(module, lambda x, m=module: _norm(m, x))
            elif _is_gated(module):
                self._put(module, lambda x, m=module, wrap=wrap: wrap(_gated(m, x)))
        head = backbone.get_output_embeddings()
        if _is_linear(head):
            self._put(head, lambda x: small_linear(x[:, 0], [head.weight], [head.bias])[0][:, None])

    @contextmanager
    def fast(self):
        """The block runs single-token passes with the forwards of this object. The model must be locked."""
        plain = [vars(code)["apply_rotary_pos_emb"] for code in self._codes]
        for code in self._codes:
            code.apply_rotary_pos_emb = lambda q, k, *_, **__: (q, k)
        for module, function in self._forwards:
            module.__dict__["forward"] = function  # past nn.Module.__setattr__, which is slow
        try:
            yield
        finally:
            for module, _ in self._forwards:
                del module.__dict__["forward"]
            for code, function in zip(self._codes, plain, strict=True):
                code.apply_rotary_pos_emb = function

    def _put(self, module, function):
        if "forward" not in vars(module):  # a module that somebody else has changed is theirs
            self._forwards.append((module, function))

    def _take_attention(self, name, attention, wrap):
        """Projections with the memory in one launch, and all from there to the attention in another."""
        linear = [getattr(attention, f"{head}_proj") for head in "qkvo"]
        code = sys.modules[type(attention).__module__]
        if not all(_is_linear(module) and "forward" not in vars(module) for module in linear):
            raise TypeError(f"{name} has projections that are not plain linear maps")
        if not callable(vars(code).get("apply_rotary_pos_emb")):
            raise TypeError(f"{name} turns positions in a way of its own")
        if code not in self._codes:
            self._codes.append(code)
        here = [rows for rows in self._memories if name in rows.names]
        inputs = _Inputs(self._step, attention, linear[:3], name, here, self._take_head_norms(attention))
        self._put(attention.q_proj, inputs.query)
        self._put(attention.k_proj, inputs.key)
        self._put(attention.v_proj, inputs.value)
        output = _Output(linear[3], name, here)
        self._put(attention.o_proj, lambda x: wrap(output(x)))

    def _take_head_norms(self, attention):
        """HeadNorms of an attention that norms its heads before it turns them, else None."""
        norms = [getattr(attention, f"{head}_norm", None) for head in "qk"]
        dim = getattr(attention, "head_dim", None)
        if not all(_is_norm(norm) and norm.weight.shape == (dim,) for norm in norms):
            return None
        if norms[0].variance_epsilon != norms[1].variance_epsilon:
            return None
        for norm in norms:
            self._put(norm, lambda x: x)
        return HeadNorms(norms[0].weight, norms[1].weight, norms[0].variance_epsilon)

    def _take_positions(self, base):
        """Note the step's cosines and sines as the model makes them, once for all layers."""
        module, step = getattr(base, "rotary_emb", None), self._step
        if module is None:
            raise TypeError(f"{type(base).__name__} has no rotary_emb")

        def embed(x, position_ids, *args, **kwargs):
            cos, sin = type(module).forward(module, x, position_ids, *args, **kwargs)
            step.turn = cos[:, 0], sin[:, 0]
            return cos, sin

        self._put(module, embed)


class _Inputs:
    """q, k and v of x [B, 1, hidden], and the memories' projections, made when q is asked for.

    Queries come out steered, normed and turned. Keys and values are in the cache by then: what the model gets of them
    is only passed on.
    """

    def __init__(self, step, attention, linear, name, memories, norms):
        self._step, self._index, self._norms = step, attention.layer_idx, norms
        self._turns = bool(getattr(attention, "use_rope", True))
        self._memories = [(rows, rows.names.index(name)) for rows in memories]
        self._weights = [module.weight for module in linear]
        self._biases = [module.bias for module in linear]
        packed = [rows.adapter.layers[name]._packed() for rows in memories]
        self._widths = [len(weight) for weight, _ in packed]
        if packed:
            self._weights.append(torch.cat([weight for weight, _ in packed]))
            self._biases.append(torch.cat([bias for _, bias in packed]))
        self._alone = len(memories) == 1 and not memories[0].late and not {"k", "v"} & set(memories[0].scales)
        self._made = None

    def query(self, x):
        step, memory = self._step, None
        q, k, v, *packed = small_linear(x[:, 0], self._weights, self._biases)
        if self._alone:
            rows, place = self._memories[0]
            memory = rows.step(place, packed[0])
        elif packed:
            outputs = {"q": q, "k": k, "v": v}
            parts = packed[0].split(self._widths, dim=1) if len(self._widths) > 1 else packed
            for (rows, place), part in zip(self._memories, parts, strict=True):
                rows.advance(place, part, outputs)
        keys, values = step.buffers.keys[self._index], step.buffers.values[self._index]
        turn = step.turn if self._turns else None
        heads, reads = attention_inputs(q, k, v, keys, values, step.places, turn, self._norms, memory)
        if memory is not None:
            rows.reads[place] = reads
        self._made = k, v
        return heads.flatten(1)[:, None]

    def key(self, x):
        return self._made[0][:, None]

    def value(self, x):
        return self._made[1][:, None]


class _Output:
    """o projection with the memories' corrections."""

    def __init__(self, linear, name, memories):
        self._linear = linear
        self._steering = [(rows, rows.names.index(name)) for rows in memories if "o" in rows.scales]

    def __call__(self, x):
        low_rank, steering = None, self._steering
        if len(steering) == 1 and not steering[0][0].late and not steering[0][0].config.delta_o_rmsnorm:
            rows, place = steering[0]
            weight = rows.layers[place]._parameters["delta_o_proj"]
            low_rank, steering = LowRank(0, rows.reads[place], weight, rows.scales["o"][place]), ()
        out = small_linear(x[:, 0], [self._linear.weight], [self._linear.bias], low_rank)[0]
        for rows, place in steering:
            rows.steer(place, "o", rows.reads[place], out)
        return out[:, None]


def _norm(module, x):
    if isinstance(x, Late):
        return x.norm(module.weight, module.variance_epsilon)
    return rms_norm(x, module.weight, module.variance_epsilon)


def _norms_first(backbone, found, base):
    """Whether layers are of the Llama kind: their two norms, and the model's last, are ours to replace."""
    layers = [backbone.get_submodule(name.rpartition(".")[0]) for name in found]
    norms = [getattr(layer, name, None) for layer in layers for name in ("input_layernorm", "post_attention_layernorm")]
    gated = [getattr(layer, "mlp", None) for layer in layers]
    inner = all(len(list(layer.children())) == 4 for layer in layers)
    return inner and all(map(_is_norm, [*norms, getattr(base, "norm", None)])) and all(map(_is_gated, gated))


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
