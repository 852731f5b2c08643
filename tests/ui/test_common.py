"""A handler that fails leaves the page as it is, whatever its outputs are."""

import gradio as gr
import pytest
from gradio_client import Client

from ui.actions.common import Refused, excused, excused_steps, guarded, other_messages, sentence
from ui.gallery import gallery
from ui.page import EXAMPLES
from ui.panels.ask import ANY, OWN
from ui.registry import Gone

ERRORS = {"gone": Gone("The page has gone."), "swept": FileNotFoundError("figure.png"), "refused": Refused("No.")}


@excused
def plain(kind):
    raise ERRORS[kind]


@excused_steps
def steps(kind):
    raise ERRORS[kind]
    yield


@pytest.fixture(scope="module")
def client():
    with gr.Blocks() as demo:
        kind, first, second = gr.Textbox(), gr.Textbox("as"), gr.Textbox("it was")
        for handler in (plain, steps):
            for count in (1, 2):
                gr.Button().click(handler, kind, [first, second][:count], api_name=f"{handler.__name__}_{count}")
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    yield Client(address, verbose=False)
    demo.close()


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("name", ["plain_1", "plain_2", "steps_1", "steps_2"])
def test_an_error_changes_no_output(client, name, kind):
    found = client.predict(kind, api_name=f"/{name}")
    for value in found if isinstance(found, tuple) else (found,):
        assert value["__type__"] == "update" and "value" not in value


def test_a_library_s_message_becomes_a_sentence():
    for said, shown in (
        ("cannot read the file", "Cannot read the file"),
        ("δ-mem is off", "δ-mem is off"),
        ("delta_mem_config.json is missing", "delta_mem_config.json is missing"),
    ):
        assert sentence(Refused(said)) == shown
    assert "RuntimeError" in sentence(RuntimeError("secret")) and "secret" not in sentence(RuntimeError("secret"))


def test_steps_repeat_what_components_were_told_and_no_plain_values():
    """What a slow browser has not shown yet would be lost with the next step that does not name it."""
    stop, text, note = gr.Button(), gr.Textbox(), gr.HTML()
    for wrap in (guarded(note), excused_steps):

        @wrap
        def steps():
            yield {stop: gr.Button(interactive=True), text: ""}
            yield {note: "half"}
            yield {stop: gr.Button(interactive=False), note: "done"}

        first, second, third = steps()
        assert second == {stop: first[stop], note: "half"}
        assert third[stop] is not first[stop] and text not in third


@pytest.mark.parametrize("told", [{}, {"label": "half"}])
def test_a_page_that_goes_between_two_steps_gets_no_third(told):
    text = gr.Textbox()

    @excused_steps
    def steps():
        yield {text: gr.Textbox(**told) if told else ""}
        raise ERRORS["gone"]

    first, second = steps()
    assert second == (first if told else gr.skip())


def test_the_other_transcript_is_never_the_one_that_was_written(workspace):
    examples = gallery(EXAMPLES)
    usual = other_messages(workspace, ANY, examples)
    written = next(one for one in (example.read()[0] for example in examples) if one.messages == usual)
    workspace.steps.append(written)
    assert other_messages(workspace, ANY, examples) != usual and workspace.lent != written.name
    workspace.other = written
    for choice in (OWN, examples[-1].name):
        with pytest.raises(Refused, match="not written"):
            other_messages(workspace, choice, examples)
