"""Decoding engines and the device: capture and what follows when it fails, waiting, memory, warming up."""

import gc
import weakref

import pytest

from deltamem.runtime.decoder import Decoder, Need
from deltamem.runtime.decoder import decoder as decoding
from deltamem.runtime.decoder.launch import Eager
from deltamem.runtime.engine import Reply, decode
from deltamem.runtime.sampling import Sampler, Sampling
from tests.core.tiny import make_adapter
from tests.runtime.decoding import (
    FAMILIES,
    agree,
    answer,
    chat_stream,
    make_backbone,
    make_batch,
    never_waits,
    stand_in,
    told,
)


@pytest.mark.parametrize("place", ["capture", "__init__"])
def test_a_capture_that_fails_means_the_plain_loop_and_one_line_that_says_so(model, monkeypatch, caplog, place):
    def fail(*_):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    class NoGraph:
        ahead = True

        def __init__(self, engine):
            pass

    setattr(NoGraph, place, fail)
    decoder = Decoder(model)
    assert decoder.works() and not caplog.records
    monkeypatch.setattr(decoding, "Graph", NoGraph)
    assert decoder._make((1, frozenset()), [], 4096) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    why = "the CUDA graph could not be captured (operation not permitted when stream is capturing)"
    assert caplog.messages[0].endswith(f"decodes by the plain loop: {why}.")
    with decoder.seats([Need(None, 20)]) as seats:
        assert seats == [None]
    assert len(caplog.records) == 1


def test_a_step_never_waits_for_the_device():
    backbone = make_backbone("qwen3")
    adapters = [make_adapter(backbone, rank=4), make_adapter(backbone, delta_heads=("q", "k", "v", "o"), rank=2)]
    model = stand_in(backbone, *adapters)
    batch = make_batch(model, 3)
    for seat, adapter in zip(batch.seats, (None, *adapters), strict=True):
        run, _ = told(model, adapter, 6, seat.cache)
        seat.join(run, 5, Sampler(Sampling(9, 0.7), "cpu"), 9)
    never_waits(lambda: batch.engine.step(True, None))


def test_warming_up_tells_what_it_does_and_how_long_it_took(model, capsys):
    told = []
    model.decoder.warm_up([None, model.adapters["TSW"]], lambda *what: told.append(what))
    assert told[0] == ("Trying out the decoding step", 0, None) and told[-1][0].startswith("Ready to decode after ")
    model.decoder.warm_up()
    assert capsys.readouterr().err.splitlines()[0] == "Trying out the decoding step …"


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("label", [None, "TSW"])
def test_an_engine_is_gone_with_its_turn(model, label, ahead, monkeypatch):
    monkeypatch.setattr(Eager, "ahead", ahead)
    adapter = model.adapters.get(label)
    gc.collect()
    gc.disable()  # nobody but a cycle would keep it
    try:
        with model.decoder.seats([Need(adapter, 40)]) as seats:
            engine = weakref.ref(seats[0].batch.engine)
            run, logits = told(model, adapter, 5, seats[0].cache)
            answer(run, logits, seats[0])
        del seats, run
        assert engine() is None
    finally:
        gc.enable()


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_the_captured_step_gives_the_plain_loops_tokens(family):
    backbone = make_backbone(family).to("cuda")
    adapter = make_adapter(backbone, rank=4)
    model = stand_in(backbone, adapter)
    chat_stream(model)
    plain = [told(model, one, 9)[:2] for one in (None, adapter)]
    expected = [answer(run, logits, count=20).ids for run, logits in plain]
    for _ in range(2):  # captured, then lent again
        with model.decoder.seats([Need(None, 64), Need(adapter, 64)]) as seats:
            assert model.decoder.refusal == "" and None not in seats
            runs = [told(model, one, 9, seat.cache) for one, seat in zip((None, adapter), seats, strict=True)]
            replies = [Reply(), Reply()]
            events = [
                decode(run, logits, reply, Sampling(20), 1000, seat)
                for (run, logits), reply, seat in zip(runs, replies, seats, strict=True)
            ]
            while events:
                events = [one for one in events if next(one, None) is not None]
            assert [reply.ids for reply in replies] == expected
            agree(runs[1][0], plain[1][0], 1e-3)
    drawn = []
    for _ in range(2):
        with model.decoder.seats([Need(adapter, 64)]) as (seat,):
            run, logits = told(model, adapter, 9, seat.cache)
            drawn.append(answer(run, logits, seat, count=12, temperature=1.0).ids)
    assert drawn[0] == drawn[1] and len(drawn[0]) == 12
