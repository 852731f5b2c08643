"""What a script can call on a running page, with the client that people use; everything else it cannot."""

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from ui.actions.calling import CALLS
from ui.guard import network_options
from ui.page import build_page

HISTORY = "User: My dog is called Rex.\nAssistant: Hello Rex!"


@pytest.fixture(scope="module")
def client(model):
    page = build_page(model)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **network_options())
    client = Client(address, verbose=False)
    yield client
    client.close()
    page.close()


def test_exactly_the_documented_functions_are_offered(client):
    offered = client.view_api(return_format="dict", print_info=False)
    assert set(offered["named_endpoints"]) == {f"/{name}" for name in CALLS}
    assert offered["unnamed_endpoints"] == {}
    asked = offered["named_endpoints"]["/answer"]
    assert [one["parameter_name"] for one in asked["parameters"]][:3] == ["history", "question", "arms"]
    assert "Every arm's answer" in asked["description"]


def test_they_answer(client):
    assert client.predict(HISTORY, api_name="/parse_history")[0]["content"] == "My dog is called Rex."
    said = client.predict(HISTORY, "Who?", "base, memory-rag", 4, api_name="/answer")
    assert [one["arm"] for one in said] == ["base", "memory-rag"]
    assert said[1]["stats"]["new_tokens"] <= 4 and said[1]["stats"]["state_bytes"] > 0
    found = client.predict(HISTORY, "question,answer\nWho?,Rex\n", "memory", 4, api_name="/recall")
    assert found["summary"][0]["n"] == 1 and "Rex" in found["csv"]
    assert client.predict(HISTORY, "MSW", api_name="/state_figure")["png"]


def test_what_is_wrong_with_a_call_is_one_sentence(client):
    with pytest.raises(AppError, match="There is no arm 'nothing'"):
        client.predict(HISTORY, "Who?", "nothing", api_name="/answer")
    with pytest.raises(AppError, match="The history is empty"):
        client.predict("", api_name="/state_figure")


def test_events_of_a_page_cannot_be_called(client):
    for index, event in enumerate(client.config["dependencies"]):
        if event["api_visibility"] != "public":
            with pytest.raises(Exception):  # noqa: B017 (the client's own, of several kinds)
                client.predict(fn_index=index)
    with pytest.raises(ValueError):
        client.predict("hello", api_name="/ask")
