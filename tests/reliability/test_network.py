"""What a running page answers to whom: every route, strangers, other users, other addresses, other folders."""

import json
import os
import re
import threading
import uuid
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from gradio.routes import App
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.reliability.serving import client, event, join, opening, served
from ui import guard
from ui.guard import MAX_JSON, MAX_UPLOAD, is_offered, names_an_address, network_options
from ui.page import build_page

USER, OTHER = ("anna", "secret"), ("anna", "wrong")
CANARY = "canary-of-a-file-that-is-nobodys-business"

# Every route that the server offers, and whether a stranger may read it when the page asks for a login.
OPEN = {
    "/", "/assets/{path:path}", "/favicon.ico", "/login", "/logout", "/manifest.json", "/pwa_icon", "/pwa_icon/{size}",
    "/robots.txt", "/static/{path:path}", "/svelte/{path:path}", "/theme.css", "/gradio_api/theme.css",
    "/gradio_api/app_id", "/gradio_api/user", "/gradio_api/token", "/gradio_api/startup-events", "/gradio_api/reset",
    "/gradio_api/cancel",  # needs the random names of a page and of its event
    "/gradio_api/heartbeat/{session_hash}",  # opens nothing
}  # fmt: skip
LOGIN = {
    "/config", "/gradio_api/info", "/gradio_api/login_check", "/gradio_api/queue/join", "/gradio_api/queue/data",
    "/gradio_api/queue/status", "/gradio_api/upload", "/gradio_api/upload_progress",
    "/gradio_api/file={path_or_url:path}",
}  # fmt: skip


def routes(served_by, prefix=""):
    """(method, path) of every route of a Gradio app, those of included routers too."""
    for route in served_by:
        inner = getattr(route, "original_router", route)
        if getattr(inner, "routes", None):
            yield from routes(inner.routes, prefix + getattr(route, "path", ""))
        elif hasattr(route, "path"):
            for method in getattr(route, "methods", None) or ("GET",):
                yield method, prefix + route.path


def filled(path):
    """A path with its parameters replaced by words."""
    return re.sub(r"\{[^}]*\}", "word", path)


@pytest.fixture(scope="module")
def every_route(model):
    return sorted(set(routes(App.create_app(build_page(model)).routes)))


@pytest.fixture(scope="module")
def guarded(place, model):
    """The address of a page that asks for a login."""
    with served(place, "--auth", ":".join(USER)) as page:
        yield page.address


@pytest.fixture(scope="module")
def page(place, model):
    """A page that anyone on this machine may use."""
    with served(place) as page:
        yield page


@pytest.fixture(scope="module")
def address(page):
    return page.address


def test_every_route_is_known(every_route):
    """A release of Gradio that offers more is noticed here, and its new routes are refused until they are looked at."""
    assert len(every_route) > 60
    offered = {path.rstrip("/") or "/" for method, path in every_route if is_offered(method, filled(path))}
    assert offered == OPEN | LOGIN


def test_what_is_not_offered_is_not_found(every_route, address):
    one = client(address)
    refused = [(method, path) for method, path in every_route if not is_offered(method, filled(path))]
    assert len(refused) > 30
    for method, path in refused:
        assert one.request(method, filled(path)).status_code in (404, 405), (method, path)
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        assert one.request(method, "/config").status_code == 404


def test_strangers_get_the_login_page_and_nothing_else(every_route, guarded):
    stranger = client(guarded)
    for method, path in every_route:
        if method not in ("GET", "POST") or not is_offered(method, filled(path)) or "heartbeat" in path:
            continue
        options = (
            {"json": {"session_hash": "x", "fn_index": 0, "data": [], "event_id": "x"}} if method == "POST" else {}
        )
        answer = stranger.request(method, filled(path), **options)
        known = path.rstrip("/") or "/"
        if known in LOGIN:
            assert answer.status_code == 401, (method, path, answer.status_code)
        assert "δ-mem playground" not in answer.text or known in ("/", "/manifest.json"), path
    page = stranger.get("/").text
    assert "auth_required" in page and '"dependencies":[]' in page and '"components":[]' in page
    assert stranger.get("/gradio_api/token").json() == {"token": None, "user": None}


def test_a_wrong_password_opens_nothing(guarded):
    stranger = client(guarded)
    for name, password in (OTHER, ("", ""), ("anna", ""), ("anna'--", "secret"), ("ANNA", "SECRET")):
        answer = stranger.post("/login", data={"username": name, "password": password})
        assert answer.status_code >= 400
    stranger.cookies.set("access-token-x", "guess")
    assert stranger.get("/config").status_code == 401
    assert client(guarded, USER).get("/config").status_code == 200


@pytest.fixture(scope="module")
def config(address):
    return client(address).get("/config").json()


def test_no_event_can_be_called_without_its_page(address, config):
    """All events but loading need a page of their own: whoever calls one from outside is told that there is none."""
    one = client(address)
    called = 0
    for dependency in config["dependencies"]:
        loading = any(target[1] in ("load", "unload") for target in dependency["targets"])
        if not dependency["backend_fn"] or loading:
            continue
        status, said = join(one, dependency["id"], [None] * len(dependency["inputs"]))
        text = json.dumps(said)
        assert status == 200 and "Traceback" not in text and "/home" not in text and str(address) not in text
        called += 1
    assert called > 10


@pytest.mark.parametrize("local", [True, False])
def test_visitors_from_elsewhere_cannot_name_folders_or_repositories(model, local):
    """Not even by sending the event of the button that they do not see."""
    config = build_page(model, local=local).get_config_file()
    button = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == "own-fetch")
    assert any(target[0] == button for one in config["dependencies"] for target in one["targets"]) == local


def test_named_endpoints_are_the_public_ones_only(address, config):
    """Events of the page have no name to be called by; what is offered by name keeps no state."""
    info = client(address).get("/gradio_api/info").json()
    public = {one["api_name"] for one in config["dependencies"] if one["api_visibility"] == "public"}
    assert set(info["named_endpoints"]) == {f"/{name}" for name in public}
    assert not info["unnamed_endpoints"]
    for dependency in config["dependencies"]:
        if dependency["api_visibility"] != "public" and isinstance(dependency["api_name"], str):
            answer = client(address).post(f"/gradio_api/call/{dependency['api_name']}", json={"data": []})
            assert answer.status_code == 404, dependency["api_name"]


class Trap(BaseHTTPRequestHandler):
    visits: list = []

    def do_GET(self):
        self.visits.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"user: fetched")

    do_HEAD = do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def trap():
    """The address of a server that must not be visited, and its visits."""
    server = HTTPServer(("127.0.0.1", 0), Trap)
    Trap.visits = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/x.txt", Trap.visits
    server.shutdown()


def test_no_address_is_ever_fetched(address, config, trap):
    url, visits = trap
    one = client(address)
    for path in (
        f"file={url}",
        f"file=%68ttp:{url[5:]}",
        f"proxy={url}",
        f"file/{url}",
        f"file={url.replace('/', '%2F')}",
    ):
        assert one.get(f"/gradio_api/{path}").status_code in (400, 403, 404), path
    for target in ("history-file", "session-load"):
        index = event(config, target, "upload")
        for path in (
            url,
            url.upper(),
            f" {url}",
            url.replace("http:", "https:"),
            "//127.0.0.1/x",
            "file:///etc/passwd",
        ):
            file = {"path": path, "url": path, "orig_name": "x.txt", "meta": {"_type": "gradio.FileData"}}
            for data in ([None, file], [file, None], [[file], {"a": {"b": file}}]):
                assert join(one, index, data)[0] == 400
    assert visits == []


def test_files_of_the_machine_are_not_read(address, config, tmp_path):
    """Neither by name in an event nor through the route for files."""
    secret = tmp_path / "secret.txt"
    secret.write_text(f"user: {CANARY}\nassistant: no\n")
    one = client(address)
    page = uuid.uuid4().hex
    join(one, opening(config), [], page)
    for dependency in config["dependencies"]:
        if any(kind == "upload" for _, kind in dependency["targets"]):
            file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
            _, said = join(one, dependency["id"], [None, file][: len(dependency["inputs"])], page)
            assert CANARY not in json.dumps(said)
            assert said[-1]["success"] is False
    assert secret.exists()


PIECES = st.sampled_from(
    ".. %2e%2e .%2e %252e%252e / // %2f %5c \\ etc passwd app.py tmp proc/self environ ~ %00 C: file: assets static "
    "gradio a . ; %3f %23 %c0%ae %e2%80%a5 deltamem ui README.md".split()
)
DOORS = st.sampled_from(
    ["/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/", "/svelte/", "/gradio_api/custom_component/", "/"]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(door=DOORS, parts=st.lists(PIECES, min_size=1, max_size=9), lead=st.sampled_from(["", "/", "../" * 12]))
def test_no_path_leads_out(address, door, parts, lead):
    one = HTTPConnection(address.removeprefix("http://"), timeout=60)  # sends paths as they are
    one.putrequest("GET", door + lead + "/".join(parts), skip_host=False)
    one.endheaders()
    answer = one.getresponse()
    content = answer.read()
    one.close()
    assert b"root:x:0" not in content and b"argparse" not in content and b"GRADIO_TEMP_DIR" not in content
    if answer.status == 200:
        assert door in ("/static/", "/assets/", "/svelte/", "/") and b"<title>" in content or b"static" in content


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["GET", "POST", "HEAD"]))
def test_the_guard_never_lets_an_address_through(text, method):
    for scheme in ("http://", "HTTPS://", "file:///", "ftp:", "//"):
        assert not is_offered(method, f"/gradio_api/file={scheme}{text}")
        assert names_an_address(json.dumps({"data": [{"a": [{"path": scheme + text}]}]}).encode())
    assert not is_offered(method, "/gradio_api/proxy=" + text)


def test_uploads_and_bodies_are_bounded(page):
    one, before = client(page.address), page.peak

    def endless(limit):
        for number in range(limit // 2**20 + 300):
            if number % 100 == 0:  # files that are small enough each
                yield b'\r\n--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
            yield b"x" * 2**20
        yield b"\r\n--b--\r\n"

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    for path, limit in (("/gradio_api/queue/join", MAX_JSON), ("/login", MAX_JSON), ("/gradio_api/upload", MAX_UPLOAD)):
        try:
            assert one.post(path, content=endless(limit), headers=kind).status_code == 413
        except httpx.TransportError:  # the server may close the connection while more is being sent
            one = client(page.address)
    assert page.peak - before < 150 * 2**20
    assert one.get("/config").status_code == 200


def test_broken_uploads_are_removed_and_all_are_bounded(tmp_path, monkeypatch):
    whole = tmp_path / "hash" / "a.txt"
    whole.parent.mkdir()
    broken, growing = tmp_path / "tmpabc", tmp_path / "tmpdef"
    for path in (whole, broken, growing):
        path.write_bytes(b"x" * 100)
    for path in (whole, broken):
        os.utime(path, (0, 0))
    assert guard.tidy(tmp_path) == 200
    assert whole.exists() and growing.exists() and not broken.exists()
    app = Starlette(
        routes=[Route("/gradio_api/upload", lambda _: PlainTextResponse("taken"), methods=["POST"])],
        middleware=[Middleware(guard.Guard, folder=tmp_path)],
    )
    assert TestClient(app).post("/gradio_api/upload").text == "taken"
    monkeypatch.setattr(guard, "MAX_KEPT", 150)
    answer = TestClient(app).post("/gradio_api/upload")
    assert answer.status_code == 503 and "try again" in answer.text


def test_pages_of_other_sites_can_send_nothing(address, config):
    """A form of theirs in a visitor's browser, which may reach what they cannot; a link to the page still opens it."""
    one, event = client(address), {"data": [], "fn_index": opening(config), "session_hash": "x"}
    for site, status in (("cross-site", 403), ("same-origin", 200)):
        one.headers["Sec-Fetch-Site"] = site
        assert one.post("/gradio_api/upload", files={"files": ("x.txt", b"hi")}).status_code == status
        assert one.post("/gradio_api/queue/join", json=event).status_code == status
        assert one.get("/").status_code == 200


def test_uploads_are_never_shown_as_pages(address):
    """HTML and SVG that somebody uploaded come as downloads: nothing runs under the page's address."""
    one = client(address)
    for name, text in (("x.html", "<script>alert(1)</script>"), ("x.svg", "<svg onload='alert(1)'/>")):
        (path,) = one.post("/gradio_api/upload", files={"files": (name, text)}).json()
        answer = one.get(f"/gradio_api/file={path}")
        assert answer.status_code == 200 and answer.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "name", ["../../x.txt", "/etc/x.txt", "..\\x.txt", "a\0b.txt", "a" * 300 + ".txt", "..", "x/../y"]
)
def test_uploaded_names_stay_in_their_folder(address, name):
    one = client(address)
    answer = one.post("/gradio_api/upload", files={"files": (name, b"hi")})
    if answer.status_code == 200:
        (path,) = answer.json()
        assert "/deltamem-files-" in path and ".." not in Path(path).parts


def test_nothing_is_measured_kept_or_offered_as_an_api(config):
    assert config["analytics_enabled"] is False
    options = network_options()
    assert options["run_history"] is options["enable_monitoring"] is options["ssr_mode"] is False
    assert options["allowed_paths"] == [] and options["max_file_size"] == MAX_UPLOAD
    assert config["max_file_size"] == MAX_UPLOAD
    assert not config.get("mcp_server") or config["api_prefix"] == "/gradio_api"
