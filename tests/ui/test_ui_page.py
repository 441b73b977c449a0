"""What a browser is sent under `/ui`: files, how long it may keep them, and what it may do with them."""

import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest

from tests.running_gateway import RunningGateway

STATIC = sorted(path.name for path in files("coe.ui").joinpath("static").iterdir())
POLICY = {
    "default-src": ["'self'"],
    "base-uri": ["'none'"],
    "form-action": ["'none'"],
    "frame-ancestors": ["'none'"],
    "object-src": ["'none'"],
    "require-trusted-types-for": ["'script'"],
    "trusted-types": ["'none'"],
}


async def test_ui_leads_to_the_page_below_whatever_prefix(gateway: RunningGateway) -> None:
    reply = await gateway.send("GET", "/ui", allow_redirects=False)
    assert (reply.status, reply.headers["location"]) == (307, "ui/")
    page = await gateway.get("/ui")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.body == (await gateway.get("/ui/index.html")).body


@pytest.mark.parametrize("name", ["", *STATIC])
async def test_every_file_is_sent_with_the_headers_that_bind_it(gateway: RunningGateway, name: str) -> None:
    reply = await gateway.get(f"/ui/{name}")
    assert reply.status == 200
    directives = [directive.split() for directive in reply.headers["content-security-policy"].split(";")]
    assert {directive: values for directive, *values in directives} == POLICY
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("name", "media_type"), [("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")]
)
async def test_files_have_the_type_that_nosniff_asks_for(gateway: RunningGateway, name: str, media_type: str) -> None:
    assert (await gateway.get(f"/ui/{name}")).headers["content-type"].startswith(media_type)


async def test_a_browser_that_has_a_file_is_told_so(gateway: RunningGateway) -> None:
    first = await gateway.get("/ui/app.js")
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    for sent in (etag, f"W/{etag}", f'"other", {etag}'):
        again = await gateway.send("GET", "/ui/app.js", headers={"if-none-match": sent})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
        assert again.headers["content-security-policy"]
    changed = await gateway.send("GET", "/ui/app.js", headers={"if-none-match": '"other"'})
    assert (changed.status, changed.body) == (200, first.body)


async def test_tags_tell_files_apart(gateway: RunningGateway) -> None:
    tags = {(await gateway.get(f"/ui/{name}")).headers["etag"] for name in STATIC}
    assert len(tags) == len(STATIC)


@pytest.mark.parametrize(
    "path", ["/ui/nothing.js", "/ui/page.py", "/ui/../page.py", "/ui/%2e%2e/page.py", "/ui/static/app.js", "/uix"]
)
async def test_what_is_no_file_of_the_page_is_not_found(gateway: RunningGateway, path: str) -> None:
    reply = await gateway.get(path)
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")


async def test_the_page_is_only_read(gateway: RunningGateway) -> None:
    assert (await gateway.post("/ui/", {})).status == 405
    head = await gateway.send("HEAD", "/ui/")
    assert (head.status, head.body) == (200, b"")


def test_the_wheel_carries_the_page(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=Path(__file__).parents[2], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"coe/ui/static/{name}" for name in STATIC} <= names
