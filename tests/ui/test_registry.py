"""Open pages: found by id only, limited in number and age, never dropped while they work."""

import gc
import time

import pytest

from ui.registry import Full, Gone, Registry


class Page:
    """A stand-in for a workspace: what the registry needs of one."""

    def __init__(self):
        self.busy = self.closed = False

    def close(self):
        self.closed = True


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def registry(clock):
    return Registry(Page, limit=3, idle_s=100, clock=lambda: clock[0])


def test_ids_cannot_be_guessed(registry):
    keys = {registry.open() for _ in range(3)}
    assert len(keys) == 3
    assert all(len(key) >= 32 for key in keys)


@pytest.mark.parametrize(("key", "said"), [(None, "loading"), ("", "reload"), ("unknown", "reload")])
def test_unknown_ids_are_gone(registry, key, said):
    with pytest.raises(Gone, match=said):
        registry.get(key)


def test_idle_pages_are_dropped(registry, clock):
    used, idle = registry.open(), registry.open()
    dropped = registry.get(idle)
    clock[0] = 90
    registry.get(used)
    clock[0] = 150
    assert registry.get(used)
    assert dropped.closed
    with pytest.raises(Gone):
        registry.get(idle)


def test_a_page_at_work_is_never_idle(registry, clock):
    key = registry.open()
    registry.get(key).busy = True
    clock[0] = 1000
    registry.open()
    assert not registry.get(key).closed


def test_the_longest_unused_page_gives_way(registry, clock):
    keys = []
    for clock[0] in (1, 2, 3):
        keys.append(registry.open())
    clock[0] = 4
    registry.get(keys[0])
    registry.open()
    assert len(registry) == 3
    with pytest.raises(Gone):
        registry.get(keys[1])
    assert registry.get(keys[0])


def test_when_all_are_at_work_a_new_one_waits(registry):
    for _ in range(3):
        registry.get(registry.open()).busy = True
    with pytest.raises(Full, match="3 places"):
        registry.open()


def test_a_closed_browser_tab_drops_its_page(registry):
    key, other = registry.open("tab 1"), registry.open("tab 2")
    page = registry.get(key)
    registry.close_page("tab 1")
    registry.close_page("tab 1")
    registry.close_page("never seen")
    assert page.closed
    assert registry.get(other)
    with pytest.raises(Gone):
        registry.get(key)


def test_idle_pages_are_dropped_while_nobody_comes(registry, clock):
    registry.open()
    clock[0] = 1000
    registry.sweep_every(0.01)
    deadline = time.monotonic() + 60
    while len(registry) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(registry) == 0


def test_the_sweeper_ends_with_its_registry(clock):
    registry = Registry(Page, clock=lambda: clock[0])
    sweeper = registry.sweep_every(0.01)
    assert sweeper.is_alive()
    del registry
    gc.collect()
    sweeper.join(60)
    assert not sweeper.is_alive()


def test_what_is_dropped_says_how_to_go_on(registry, clock):
    key = registry.open()
    clock[0] = 1000
    registry.open()
    with pytest.raises(Gone, match="reload the page to start anew, and load the session’s file"):
        registry.get(key)
