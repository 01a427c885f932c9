"""The page and the client against a real service of a small bundle."""

from __future__ import annotations

import pytest
from browser import chromium
from pages import CHROMIUM
from services import TOKEN, registry_of, running

from tt_hydra.artifact.write import write_bundle
from tt_hydra.client import Client
from tt_hydra.errors import ServiceError
from tt_hydra.monitor.live import LiveMonitor
from tt_hydra.monitor.settings import MonitorSettings
from tt_hydra.serve.settings import ServeOptions


@pytest.fixture(scope="module")
def address(parts, tmp_path_factory):
    """Of a service with two versions of one bundle."""
    from bundle_parts import make_parts  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("service")
    (folder / "other").mkdir()
    bundles = [write_bundle(folder / "one", parts), write_bundle(folder / "two", make_parts(folder / "other", seed=1))]
    with running(registry_of(folder / "registry", bundles), ServeOptions(runtime="torch")) as (client, _):
        yield str(client.base_url)


@pytest.fixture
def client(address):
    with Client(address, token=TOKEN) as client:
        yield client


class TestClient:
    def test_known_queries_features_and_filters(self, client):
        known = client.search({"id": "3"}, k=5, include=["title", "year", "vector"])
        assert [hit.rank for hit in known] == [1, 2, 3, 4, 5]
        assert [hit.score for hit in known] == sorted((hit.score for hit in known), reverse=True)
        query = client.embed([{"id": "3"}]).vectors[0]
        products = [sum(one * other for one, other in zip(query, hit.vector, strict=True)) for hit in known]
        assert products == pytest.approx([hit.score for hit in known], abs=1e-5)
        late = client.search({"features": {"age": 30, "job": "a"}, "history": ["i1"]}, k=40, filter={"year": {"gte": 1980}}, include="*")
        assert 0 < len(late) < 40
        assert min(hit.fields["year"] for hit in late) >= 1980
        assert known.mark == late.mark

    def test_a_written_item_is_found_and_a_deleted_one_is_not(self, client):
        before = client.search({"id": "0"}, k=1).mark
        written = client.upsert([{"id": "new/one", "title": "film about the sea", "genres": ["a"], "year": 1999, "poster": "x"}])
        assert written.count == 1
        assert written.mark.index != before.index
        assert client.item("new/one").fields["year"] == 1999
        assert [hit.id for hit in client.search({"id": "0"}, k=1, filter={"year": 1999})] == ["new/one"]
        gone = client.delete(["new/one", "never was"])
        assert (gone.count, gone.unknown) == (1, ("never was",))
        with pytest.raises(ServiceError) as caught:
            client.item("new/one")
        assert caught.value.status == 404

    def test_versions(self, client):
        assert [(each.number, each.current) for each in client.versions()] == [(1, True), (2, False)]
        assert client.activate(2).version == 2
        assert client.search({"id": "0"}).mark.version == 2
        client.activate(1)

    def test_refusals_say_why(self, client, address, monkeypatch):
        monkeypatch.delenv("TT_HYDRA_TOKEN", raising=False)
        with Client(address) as stranger, pytest.raises(ServiceError) as caught:
            stranger.upsert([{"id": "x"}])
        assert caught.value.status == 401
        with pytest.raises(ServiceError, match="'salary'") as caught:
            client.search({"features": {"salary": 1}})
        assert (caught.value.status, caught.value.field) == (422, "queries.0")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
class TestPage:
    @pytest.fixture
    def tab(self, address, tmp_path):
        with chromium(tmp_path / "profile") as browser:
            yield browser.tab(address)

    def test_from_the_question_to_another_version(self, tab, client):
        tab.click(".tries button")
        tab.until("document.querySelectorAll('.hit').length === 10")
        wanted = [hit.id for hit in client.search({"id": "0"}, k=10)]
        assert tab.run("[...document.querySelectorAll('.hit .id')].map((each) => each.innerText)") == wanted
        assert "version 1" in tab.text("#status")
        tab.run("location.hash = 'id=0&w.gte.year=1970&w.is.genres=b&k=3'")
        tab.until("document.querySelectorAll('.hit').length === 3")
        kept = client.search({"id": "0"}, k=3, filter={"year": {"gte": 1970}, "genres": "b"})
        assert tab.run("[...document.querySelectorAll('.hit .id')].map((each) => each.innerText)") == [hit.id for hit in kept]
        tab.click("[data-view=live]")
        tab.until("document.querySelector('#live').innerText.includes('without monitoring')")
        tab.click("[data-view=versions]")
        tab.click("[data-activate='2']")
        tab.until("document.activeElement?.id === 'token-value'")
        tab.write(TOKEN)
        tab.key("Enter")
        tab.until("document.querySelector('#served').innerText.includes('serves version 2')")
        tab.click("[data-view=search]")
        tab.until("document.querySelector('#status').innerText.includes('version 2')")
        assert tab.complaints() == []
        client.activate(1)

    def test_what_the_monitor_sees_is_shown(self, bundle, tmp_path):
        monitor = LiveMonitor(MonitorSettings(every=1))
        options = ServeOptions(runtime="torch")
        with (
            running(registry_of(tmp_path / "registry", [bundle]), options, observer=monitor) as (http, _),
            Client(str(http.base_url)) as client,
        ):
            for number in range(12):
                client.search({"id": str(number)})
            assert monitor.settle()
            with chromium(tmp_path / "profile") as browser:
                tab = browser.tab(f"{http.base_url}/#view=live")
                tab.until("document.querySelectorAll('#live svg').length >= 4")
                shown = tab.text("#live")
                assert "100% of the exact results are found" in shown, "the index is flat"
                assert "120 results compared" in shown
                assert "12 requests" in shown
                assert "queries: no reference" in shown
                assert "No alarm." in shown
                assert tab.complaints() == []
        monitor.close()
