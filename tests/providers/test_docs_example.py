"""The driver on the page about adding a provider is complete: it goes through the flows against its REST calls."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gpucloud.core import errors
from gpucloud.core.failover import RULES_OUT
from gpucloud.core.offers import Offer
from gpucloud.flows import gc, up
from gpucloud.flows.context import Clouds
from gpucloud.providers.site import Site
from tests.flows.conftest import Stage

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-provider.md"
CODE = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)  # type: ignore[union-attr]
OFFERS = tuple(Offer("acme", "one-gpu", "", 0, region=region, usd_per_hour=1.0) for region in ("north", "south"))


class Acme(ThreadingHTTPServer):
    """The imagined cloud. `refuse` maps a region to an error code; `drop` loses that many answers after the effect."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Calls)
        self.machines: dict[str, dict[str, Any]] = {}
        self.refuse: dict[str, str] = {}
        self.silent: set[str] = set()
        self.drop = 0
        self.posts: list[str] = []


class Calls(BaseHTTPRequestHandler):
    server: Acme

    def log_message(self, *words: Any) -> None:
        pass

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Bearer right":
            return self.answer(401, {"code": "bad_key", "message": "unknown key"})
        if self.path == "/account":
            return self.answer(200, {"id": "a-1"})
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        if query["region"] in self.server.silent:
            return self.answer(503, "out of order")
        key, _, value = query["label"].partition("=")
        here = [item for item in self.server.machines.values() if item["region"] == query["region"]]
        found = [i for i in here if i["labels"].get(key) == value or (not value and key in i["labels"])]
        return self.answer(200, {"machines": found})

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append(wanted["region"])
        if wanted["region"] in self.server.refuse:
            return self.answer(409, {"code": self.server.refuse[wanted["region"]], "message": "no"})
        made = []
        for rank in range(wanted["count"]):
            name = f"{wanted['token']}-{rank}"
            keys = ("region", "type", "labels")
            item = {"id": name, "name": name, "state": "active", "rank": rank, "address": "192.0.2.1"}
            made.append(self.server.machines.setdefault(name, {**item, **{key: wanted[key] for key in keys}}))
        if self.server.drop:
            self.server.drop -= 1
            self.connection.close()
            return None
        return self.answer(201, {"machines": made})

    def do_DELETE(self) -> None:
        gone = self.server.machines.pop(self.path.rsplit("/", 1)[1], None)
        return self.answer(200, {}) if gone else self.answer(404, {"code": "unknown", "message": "no such machine"})


@pytest.fixture
def cloud() -> Iterator[Acme]:
    server = Acme()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def driver(monkeypatch) -> ModuleType:
    module = ModuleType("acme_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(CODE, str(PAGE), "exec"), module.__dict__)
    return module


class AcmeStage(Stage):
    """The rehearsal stage with the driver of the page instead of the fake cloud."""

    driver: ModuleType
    url: str

    def context(self):
        made = super().context()
        site = Site(self.home.root, self.home.home_id(), {"ACME_URL": self.url, "ACME_API_KEY": "right"})
        object.__setattr__(made, "clouds", Clouds(site, {"acme": self.driver.open_provider(site)}))
        return made

    def up_acme(self, **changes: Any):
        request = self.request(offers=OFFERS, **changes)
        return up.up(self.ctx, up.plan(self.ctx, request)).deployment


@pytest.fixture
def acme(tmp_path, cloud, driver, monkeypatch) -> Iterator[AcmeStage]:
    monkeypatch.setattr(AcmeStage, "driver", driver, raising=False)
    monkeypatch.setattr(AcmeStage, "url", f"http://127.0.0.1:{cloud.server_port}", raising=False)
    stage = AcmeStage(tmp_path / "home")
    yield stage
    stage.journal.close()


def test_up_with_two_nodes_and_down_leaves_nothing(acme, cloud):
    deployment = acme.up_acme(nodes=2)
    assert deployment.state == "ready" and len(cloud.machines) == 2
    assert {item["labels"]["gpucloud-deployment"] for item in cloud.machines.values()} == {deployment.id}
    assert sorted(item.rank for item in deployment.machines) == [0, 1]
    assert acme.down("train").error is None
    assert cloud.machines == {}


@pytest.mark.parametrize("code", ["sold_out", "limit_reached"])
def test_no_machine_in_one_region_moves_on_to_the_next(acme, cloud, code):
    cloud.refuse["north"] = code
    deployment = acme.up_acme()
    assert deployment.current.region == "south" and cloud.posts == ["north", "south"]
    assert acme.down("train").error is None


@pytest.mark.parametrize("code", ["malformed", "forbidden"])
def test_a_refusal_everywhere_ends_it_and_leaves_nothing(acme, cloud, code):
    cloud.refuse.update(north=code, south=code)
    with pytest.raises(errors.GpucloudError):
        acme.up_acme()
    assert acme.down("train").error is None


def test_a_code_that_is_not_in_the_table_leaves_the_attempt_open_until_time_has_settled_it(acme, cloud):
    cloud.refuse.update(north="something new")
    with pytest.raises(errors.AmbiguousError):
        acme.up_acme()
    assert acme.down("train").error.exit_code == 9
    acme.clock.sleep(acme.waits.settle_quiet)
    assert acme.down("train").error is None


def test_a_lost_answer_is_found_again_and_not_made_twice(acme, cloud):
    cloud.drop = 1
    deployment = acme.up_acme()
    assert deployment.state == "ready" and len(cloud.machines) == 1
    assert acme.down("train").error is None and cloud.machines == {}


def test_gc_finds_it_when_the_journal_is_lost(acme, cloud):
    acme.up_acme()
    acme.lose_journal()
    acme.clock.sleep(3600)
    planned = gc.plan_gc(acme.ctx)
    assert [orphan.word for orphan in planned.orphans] == ["mine_lost"]
    assert gc.gc(acme.ctx, planned).error is None
    assert cloud.machines == {}


def test_a_region_that_does_not_answer_is_never_taken_for_empty(acme, cloud):
    acme.up_acme()
    cloud.silent.add("north")
    result = acme.down("train")
    assert result.error is not None and result.error.exit_code == 9
    cloud.silent.clear()
    assert acme.down("train").error is None and cloud.machines == {}


def test_a_wrong_key_says_what_to_do(driver, cloud, tmp_path):
    for key in ("", "wrong"):
        site = Site(tmp_path, "home", {"ACME_URL": f"http://127.0.0.1:{cloud.server_port}", "ACME_API_KEY": key})
        with pytest.raises(errors.CredentialsError) as caught:
            driver.open_provider(site).identity()
        assert "ACME_API_KEY" in caught.value.hint


def test_the_error_table_names_every_class_that_has_a_fate_of_its_own():
    section = PAGE.read_text().split("## What an error means")[1].split("\n## ")[0]
    named = {name: getattr(errors, name) for name in re.findall(r"`(\w+)`", section) if hasattr(errors, name)}
    of_machines = {"bootstrap", "unreachable"}  # no answer of a cloud
    assert {kind.code for kind in named.values()} >= set(RULES_OUT) - of_machines
    assert set(named) - {kind.__name__ for kind in errors.REFUSALS} == {"AmbiguousError"}


def test_the_example_keeps_the_house_rules(tmp_path):
    (tmp_path / "acme.py").write_text(CODE)
    config = str(Path(__file__).parents[2] / "pyproject.toml")
    words = [sys.executable, "-m", "ruff", "check", "--config", config, str(tmp_path / "acme.py")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
