"""Token blocks and the passes that feed them: chunk sizes, borders, and which tokens enter the memory."""

from dataclasses import dataclass

CHUNK = 512  # tokens in one pass of token writes: bounds the activations, and the wait before one can stop
GPU_CHUNKS = 2048, 32768  # the same on a GPU: fewer would be bound by launches; more gain nothing
GPU_SHARE = 0.05  # of a GPU's memory, for the activations of one pass
GROUP = 2048  # tokens that share one KV while history is written, and most in one segment: bounds the KV


def gpu_chunk(memory, token_bytes):
    """Tokens of one pass on a GPU of `memory` bytes, where a token's activations take `token_bytes`: a power of two.

    As large as may be: a pass behind others cannot use the fastest attention kernel, which wants a square mask.
    """
    fewest, most = GPU_CHUNKS
    fits = int(GPU_SHARE * memory / token_bytes)
    return max(fewest, min(most, 1 << max(fits, 1).bit_length() - 1))


@dataclass(frozen=True)
class Block:
    """A run of tokens that belong to one message. write[i] says whether ids[i] enters the memory."""

    ids: list[int]
    write: list[bool]

    def __len__(self):
        return len(self.ids)


def block(ids, write):
    """A block with one answer for all its tokens."""
    return Block(list(ids), [write] * len(ids))


def join(blocks):
    """One block from several."""
    return Block([i for b in blocks for i in b.ids], [w for b in blocks for w in b.write])


def cut(whole, size):
    """Parts of at most `size` tokens; none of an empty block."""
    return [Block(whole.ids[i : i + size], whole.write[i : i + size]) for i in range(0, len(whole), size)]


def passes(blocks, by_message, chunk=None):
    """The passes that feed `blocks` in order on one KV, each a Block.

    Token writes do not care where a message ends: equal chunks of `chunk` tokens (None: CHUNK). Segment writes need
    each message in a pass of its own, since a pass reads the state from before it; only a message over GROUP tokens is
    cut, and then each part is a segment.
    """
    if by_message:
        return [part for b in blocks for part in cut(b, GROUP)]
    return cut(join(blocks), chunk or CHUNK)


def history_groups(opening, later, exchanges, by_message, room, chunk=None):
    """The passes that write history with bounded memory: a list of groups, each a list of passes on a KV of its own.

    exchanges: a list of blocks per exchange. Each exchange starts a group, and so does every `room` tokens within it.
    opening, later: blocks in front of the first group, and of each later one. chunk: as in `passes`.
    """
    groups, lead = [], opening
    for blocks in exchanges:
        parts = [part for b in (blocks if by_message else [join(blocks)]) for part in cut(b, room)]
        held = []
        for part in parts:
            if held and sum(map(len, held)) + len(part) > room:
                groups.append(passes([*lead, *held], by_message, chunk))
                lead, held = later, []
            held.append(part)
        groups.append(passes([*lead, *held], by_message, chunk))
        lead = later
    return groups
