"""The page as headless Chromium shows it and as keys drive it."""

from __future__ import annotations

import re
import threading
import time
from urllib.parse import parse_qs

import pytest
from browser import chromium
from fake_service import PAGE, POLICY, TOKEN, always, refused, serving, with_token
from pages import CHROMIUM, HOSTILE, Page

browser_only = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]

SCHEMA = {
    "query": {
        "text": True,
        "known_ids": True,
        "example_ids": ["7", "12"],
        "history": True,
        "features": [
            {"name": "age", "kind": "numeric", "values": []},
            {"name": "job", "kind": "categorical", "values": ["artist", "doctor"]},
            {"name": "tastes", "kind": "multi", "values": ["war", "sea"]},
        ],
        "context": [{"name": "text", "kind": "text", "values": []}, {"name": "device", "kind": "categorical", "values": ["tv", "phone"]}],
    },
    "items": {
        "columns": [
            {"name": "title", "type": "String", "kind": "text"},
            {"name": "genres", "type": "List(String)", "kind": "multi"},
            {"name": "year", "type": "Int64", "kind": "numeric"},
        ],
        "title": "title",
    },
    "search_params": {},
    "limits": {"k": 100},
}
NOTHING = {"text": True, "known_ids": False, "example_ids": [], "history": False, "features": [], "context": []}

INDEX = {"index": {"_target_": "tt_hydra.index.hnsw.Hnsw", "m": 32}, "quantization": {"_target_": "tt_hydra.quantization.int8.Int8"}}


def version(number, **more):
    made = {"version": number, "created": f"2026-11-2{number}T08:00:00+00:00", "items": 40, "model": f"{number}f" * 16}
    return {**made, "metric": "cosine", "dim": 16, "index": INDEX, "measured": {"valid/index/recall@10": 0.25}, **more}


VERSIONS = {"current": 2, "previous": 1, "versions": [version(1), version(2)]}
MONITOR = {
    "version": 2,
    "requests": 1234,
    "latency": {
        name: {"count": 1234, "p50": p50, "p95": 2 * p50, "p99": 3 * p50}
        for name, p50 in {"tower": 1.5, "search": 0.7, "merge": 0.2, "total": 2.6}.items()
    },
    "recall": {"value": 0.971, "low": 0.95, "high": 0.985, "count": 800, "alarm_below": 0.9},
    "drift": {
        "queries": {"statistic": 0.02, "threshold": 0.05, "alarm": False},
        "items": {"statistic": 0.08, "threshold": 0.05, "alarm": True},
        "scores": {"statistic": None, "threshold": 1.0, "alarm": False, "seen": 120, "needed": 500},
        "unknown": {"statistic": None, "threshold": 1.0, "alarm": False, "seen": 0, "needed": 0},
    },
    "unknown": {"share": 0.012, "reference": 0.01, "alarm": False},
    "series": {
        "time": [time.time() - 60 + 10 * number for number in range(6)],
        "requests_per_s": [None, *[12.5] * 5],
        **{name: [None, *[height] * 5] for name, height in {"p50": 2.5, "p95": 5, "p99": 8}.items()},
        **{name: [None, None, *[height] * 4] for name, height in {"recall": 0.97, "recall_low": 0.95, "recall_high": 0.98}.items()},
        "drift": [None] * 6,
    },
    "age": {"model_s": 90_000, "index_s": 7200, "delta_s": 30},
    "coverage": 0.4,
    "health": {"alive": 40, "base": 38, "delta": 2, "dead": 0, "imbalance": None},
    "alarms": [{"name": "drift of the items", "reason": "the new items lie elsewhere"}],
}


def hit(number, title, **fields):
    return {
        "id": f"i{number}",
        "score": 0.9 - 0.07 * number,
        "fields": {"title": title, "year": 1950 + number, "genres": ["war", "sea"], **fields},
    }


def found(asked):
    query = asked.body["queries"][0]
    hits = [
        hit(number, f"film {number} for {query.get('text') or query.get('id') or 'someone'}") for number in range(min(5, asked.body["k"]))
    ]
    return 200, {"model": "2f" * 16, "index": "2.17", "version": 2, "results": [hits]}


ROUTES = {
    "GET /v1/schema": always(SCHEMA),
    "GET /v1/versions": always(VERSIONS),
    "GET /v1/monitor": always(MONITOR),
    "POST /v1/search": found,
}


@pytest.fixture
def service():
    with serving(ROUTES) as service:
        yield service


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def browser(running):
    yield running
    running.close_tabs()


def titles(tab):
    return tab.run("[...document.querySelectorAll('.title')].map((each) => each.innerText)")


def fragment(tab):
    return parse_qs(tab.run("location.hash.slice(1)"))


def shows(tab, text):
    tab.until(f"document.querySelector('#results').innerText.includes({text!r})")


def marked(tests):
    for mark in browser_only:
        tests = mark(tests)
    return tests


@marked
class TestSearch:
    def test_what_is_typed_is_searched_for(self, browser, service):
        tab = browser.tab(service.url)
        tab.until("document.activeElement?.id === 'q'")
        tab.write("the sea")
        shows(tab, "film 0 for the sea")
        assert titles(tab) == [f"film {number} for the sea" for number in range(5)]
        (asked,) = service.of("POST /v1/search")
        assert asked.body == {"queries": [{"text": "the sea"}], "k": 10, "include": "*"}
        assert "version 2 index 2.17 model 2f2f2f2f" in " ".join(tab.text("#status").split())
        assert "0.9000" in tab.text("#results .hit")
        assert fragment(tab) == {"q": ["the sea"]}
        labels = tab.run("[...document.querySelectorAll('#ask .field label')].map((each) => each.innerText)")
        assert labels == ["Known id", "age", "job", "tastes", "History", "device", "Results"], "the text has its box"
        assert tab.complaints() == []
        assert {each.removeprefix(service.url)[:1] for each in tab.requested() if not each.startswith("data:")} == {"/"}

    def test_a_shared_address_asks_the_same_and_fills_the_form(self, browser, service):
        query = "q=sea&id=7&f.age=32&f.tastes=war&f.tastes=sea&c.device=tv&h=i1&h=a,+b"
        address = f"{query}&w.gte.year=1950&w.lt.year=1960&w.is.genres=war&k=3&seen=1"
        tab = browser.tab(f"{service.url}/#{address}")
        shows(tab, "film 2 for sea")
        query = {
            "text": "sea",
            "id": "7",
            "features": {"age": 32, "tastes": ["war", "sea"]},
            "context": {"device": "tv"},
            "history": ["i1", "a, b"],
        }
        wanted = {
            "queries": [query],
            "k": 3,
            "include": "*",
            "filter": {"year": {"gte": 1950, "lt": 1960}, "genres": "war"},
            "exclude_seen": True,
        }
        assert service.of("POST /v1/search")[-1].body == wanted
        tab.run("document.querySelector('#ask').requestSubmit()")
        tab.until_true(lambda: len(service.of("POST /v1/search")) == 2, "asked again")
        assert service.of("POST /v1/search")[-1].body == wanted, "the form says what the address said"
        assert fragment(tab) == parse_qs(address)

    def test_the_last_question_wins(self, browser, service):
        late = threading.Event()

        def slow(asked):
            if asked.body["queries"][0]["text"] == "slow":
                late.wait(10)
            return found(asked)

        service.routes["POST /v1/search"] = slow
        tab = browser.tab(service.url)
        tab.until("document.activeElement?.id === 'q'")
        tab.write("slow")
        tab.until_true(lambda: len(service.of("POST /v1/search")) == 1, "asked")
        tab.write(" no more")
        shows(tab, "film 0 for slow no more")
        late.set()
        tab.run("new Promise((done) => setTimeout(done, 300))")
        assert titles(tab)[0] == "film 0 for slow no more"

    def test_the_way_back_shows_the_question_before(self, browser, service):
        tab = browser.tab(f"{service.url}/#q=war")
        shows(tab, "film 0 for war")
        tab.run("document.querySelector('#q').value = 'sea'; document.querySelector('#ask').requestSubmit()")
        shows(tab, "film 0 for sea")
        tab.run("history.back()")
        shows(tab, "film 0 for war")
        assert tab.run("document.querySelector('#q').value") == "war"

    def test_keys_lead_through_the_results(self, browser, service):
        tab = browser.tab(f"{service.url}/#q=sea")
        shows(tab, "film 4")
        here = "document.activeElement.innerText || document.activeElement.id"
        tab.run("document.activeElement.blur()")
        tab.key("/")
        assert tab.run(here) == "q"
        places = []
        for key in ["ArrowDown", "ArrowDown", "ArrowUp", "End", "ArrowDown", "Home", "Enter", "Escape"]:
            tab.key(key)
            places.append(tab.run(here).split(" for ")[0])
        assert places == ["film 0", "film 1", "film 0", "film 4", "film 4", "film 0", "film 0", "q"]
        assert tab.run("document.querySelector('.title').getAttribute('aria-expanded')") == "true"
        tab.key("Escape")
        tab.until("!document.querySelector('.hit')")
        assert tab.run("document.querySelector('#q').value") == ""
        assert tab.run("getComputedStyle(document.querySelector('#q')).outlineStyle") == "solid", "the focus is seen"

    def test_a_model_of_features_gets_a_form_and_no_text_box(self, browser, service):
        query = {**SCHEMA["query"], "text": False}
        service.routes["GET /v1/schema"] = always({**SCHEMA, "query": query})
        tab = browser.tab(service.url)
        tab.click(".tries button")
        shows(tab, "film 0 for 7")
        assert tab.run("document.querySelector('#q')") is None
        assert tab.run("document.activeElement.getAttribute('aria-label')") == "Known id", "its place is the text's"
        assert service.of("POST /v1/search")[-1].body["queries"] == [{"id": "7"}]
        tab.run("document.querySelector('.several input').focus()")
        tab.write("war")
        tab.key("Enter")
        tab.until_true(
            lambda: service.of("POST /v1/search")[-1].body["queries"] == [{"id": "7", "features": {"tastes": ["war"]}}],
            "the chip is asked for",
        )


@marked
class TestHostile:
    def test_no_text_of_the_server_becomes_an_element(self, browser, service):
        hits = [{"id": HOSTILE, "score": 0.5, "fields": {"title": HOSTILE, HOSTILE: [HOSTILE], "year": 1}}]
        schema = {
            **SCHEMA,
            "query": {
                **SCHEMA["query"],
                "example_ids": [HOSTILE],
                "features": [{"name": HOSTILE, "kind": "categorical", "values": [HOSTILE]}],
            },
        }
        schema["items"] = {"columns": [{"name": HOSTILE, "type": "String", "kind": "text"}], "title": "title"}
        alarm = {"name": HOSTILE, "reason": HOSTILE}
        service.routes |= {
            "GET /v1/schema": always(schema),
            "GET /v1/versions": always({**VERSIONS, "versions": [version(1, model=HOSTILE, index=HOSTILE, created=HOSTILE), version(2)]}),
            "GET /v1/monitor": always({**MONITOR, "alarms": [alarm]}),
            "POST /v1/search": always({"model": HOSTILE, "index": HOSTILE, "version": 2, "results": [hits]}),
        }
        tab = browser.tab(f"{service.url}/#q={HOSTILE.replace('&', '%26')}&w.is.{HOSTILE.replace('&', '%26').replace('=', '%3D')}=x")
        shows(tab, HOSTILE)
        tab.click(".title")
        tab.click("[data-view=live]")
        tab.until("document.querySelector('#live .warnings')")
        assert tab.run("document.querySelectorAll('main img, main script, main style, main title:not(svg title)').length") == 0
        assert tab.text("#live .warnings li") == f"{HOSTILE}: {HOSTILE}"
        service.routes["POST /v1/search"] = lambda asked: refused(400, HOSTILE)
        tab.click("[data-view=search]")
        tab.run("document.querySelector('#ask').requestSubmit()")
        tab.until("!document.querySelector('#problem').hidden")
        assert tab.text("#problem") == HOSTILE
        assert tab.complaints() == []

    def test_a_hit_without_a_title_is_called_by_its_id(self, browser, service):
        hits = [hit(0, ""), hit(1, "   "), hit(2, None)]
        service.routes["POST /v1/search"] = always({"model": "2f" * 16, "index": "2.17", "version": 2, "results": [hits]})
        tab = browser.tab(f"{service.url}/#q=sea")
        tab.until("document.querySelectorAll('.title').length === 3")
        assert titles(tab) == [each["id"] for each in hits]

    def test_odd_names_are_names(self, browser, service):
        features = [{"name": name, "kind": "numeric", "values": []} for name in ("__proto__", "constructor")]
        service.routes["GET /v1/schema"] = always({**SCHEMA, "query": {**NOTHING, "features": features}})
        tab = browser.tab(f"{service.url}/#f.__proto__=1&f.constructor=2&f.toString=3")
        shows(tab, "film 0")
        sent = service.of("POST /v1/search")[-1].body["queries"][0]["features"]
        assert sent == {"__proto__": 1, "constructor": 2}


@marked
class TestRefusals:
    def test_a_refusal_is_told_in_words_and_goes_away(self, browser, service):
        service.routes["POST /v1/search"] = lambda asked: (422, {"error": {"reason": "k=10: at most 5", "field": "k"}})
        tab = browser.tab(f"{service.url}/#q=sea")
        tab.until("!document.querySelector('#problem').hidden")
        assert tab.text("#problem") == "k=10: at most 5 (k)"
        service.routes["POST /v1/search"] = found
        tab.write("!")
        shows(tab, "film 0")
        assert tab.run("document.querySelector('#problem').hidden")

    def test_a_busy_server_is_asked_again(self, browser, service):
        answers = iter([refused(429, "busy", Retry_After="1")])
        service.routes["POST /v1/search"] = lambda asked: next(answers, None) or found(asked)
        tab = browser.tab(f"{service.url}/#q=sea")
        tab.until("document.querySelector('#problem').innerText.includes('asked again in 1 s')")
        shows(tab, "film 0")
        assert len(service.of("POST /v1/search")) == 2

    def test_a_server_that_warms_up_is_waited_for(self, browser, service):
        answers = iter([refused(503, "still warming up", Retry_After="1")])
        service.routes["GET /v1/schema"] = lambda asked: next(answers, None) or (200, SCHEMA)
        tab = browser.tab(f"{service.url}/#q=sea")
        tab.until("document.querySelector('#problem').innerText === 'still warming up'")
        shows(tab, "film 0")
        assert tab.run("document.querySelector('#problem').hidden")

    def test_a_server_that_is_gone(self, browser):
        with serving(ROUTES) as gone:
            tab = browser.tab(f"{gone.url}/#q=sea")
            shows(tab, "film 0")
        tab.write("!")
        tab.until("document.querySelector('#problem').innerText.includes('cannot be reached')")


@marked
class TestVersions:
    def test_the_switch_asks_for_the_token_and_keeps_it_in_the_tab(self, browser, service):
        served = {"current": 2, "previous": 1}

        def activate(asked):
            served.update(current=1, previous=2)
            return 200, {"version": 1}

        service.routes |= {
            "POST /v1/versions/1/activate": with_token(activate),
            "GET /v1/versions": lambda asked: (200, {**VERSIONS, **served}),
        }
        tab = browser.tab(f"{service.url}/#q=sea&view=versions")
        tab.click("[data-activate='1']")
        assert "hnsw, int8" in tab.text("#versions tr.current")
        assert "valid recall@10" in tab.text("#versions thead")
        for given in ["wrong", TOKEN]:
            tab.until("document.querySelector('#token').open && !document.querySelector('#token-ask').hidden")
            tab.run("document.querySelector('#token-value').value = ''; document.querySelector('#token-value').focus()")
            tab.write(given)
            tab.key("Enter")
            if given == "wrong":
                tab.until("document.querySelector('#token-problem').innerText.includes(\"needs the server's token\")")
                assert tab.run("sessionStorage.length") == 0
        tab.until("!document.querySelector('#token').open")
        tab.until("document.querySelector('#served').innerText.includes('serves version 1')")
        assert tab.run("Object.values(sessionStorage)") == [TOKEN]
        assert tab.run("localStorage.length + document.cookie.length") == 0
        assert TOKEN not in tab.run("location.href + document.documentElement.outerHTML")
        assert [each.token for each in service.of("POST /v1/versions/1/activate")] == ["Bearer wrong", f"Bearer {TOKEN}"]

    def test_escape_leaves_the_version_as_it_is(self, browser, service):
        tab = browser.tab(f"{service.url}/#view=versions")
        tab.click("[data-activate='1']")
        tab.until("document.querySelector('#token').open")
        tab.key("Escape")
        tab.until("!document.querySelector('#token').open")
        assert service.of("POST /v1/versions/1/activate") == []

    def test_a_server_that_asks_for_the_token_to_read(self, browser, service):
        for route in ("GET /v1/schema", "GET /v1/versions", "POST /v1/search"):
            service.routes[route] = with_token(service.routes[route])
        tab = browser.tab(f"{service.url}/#q=sea")
        tab.until("document.querySelector('#token').open")
        tab.write(TOKEN)
        tab.key("Enter")
        shows(tab, "film 0")

    def test_answers_of_another_version_renew_what_is_said_of_the_server(self, browser, service):
        tab = browser.tab(f"{service.url}/#q=sea")
        shows(tab, "film 0")
        service.routes["GET /v1/versions"] = always({**VERSIONS, "current": 3, "versions": [*VERSIONS["versions"], version(3)]})
        service.routes["POST /v1/search"] = lambda asked: (200, {**found(asked)[1], "version": 3, "index": "3.0"})
        tab.write("!")
        tab.until("document.querySelector('#served').innerText.includes('serves version 3')")
        assert tab.run("document.activeElement.id") == "q"


@marked
class TestLook:
    @pytest.mark.parametrize("width", [1200, 390])
    def test_nothing_runs_out_of_the_page(self, browser, service, width):
        tab = browser.tab(f"{service.url}/#q={'long' * 60}", width=width)
        for view, drawn in {"search": ".hit", "live": "#live .card", "versions": "table"}.items():
            tab.click(f"[data-view={view}]")
            tab.until(f"document.querySelector({drawn!r})")
            assert tab.run("document.documentElement.scrollWidth <= innerWidth"), view
        assert tab.complaints() == []

    def test_who_wants_no_motion_gets_none(self, browser, service):
        tab = browser.tab(f"{service.url}/#q=sea", still=True)
        shows(tab, "film 0")
        moving = "[...document.querySelectorAll('*')].filter((each) => !/^0s/.test(getComputedStyle(each).transitionDuration)).length"
        assert tab.run(moving) == 0

    def test_everything_to_use_has_a_name(self, browser, service):
        tab = browser.tab(f"{service.url}/#q=sea&w.is.genres=war")
        shows(tab, "film 0")
        tab.call("Accessibility.enable")
        used = {"button", "searchbox", "textbox", "combobox", "spinbutton", "checkbox"}
        nodes = [node for node in tab.call("Accessibility.getFullAXTree")["nodes"] if node.get("role", {}).get("value") in used]
        assert len(nodes) > 15
        assert [node for node in nodes if not node.get("name", {}).get("value")] == []

    def test_the_live_figures_and_their_refreshing(self, browser, service):
        tab = browser.tab(f"{service.url}/#view=live")
        tab.until("document.querySelectorAll('#live svg').length === 5")
        assert tab.text("#alarm-count") == "1"
        assert "97.1% of the exact results are found, between 95% and 98.5%" in tab.text("#live")
        assert "drift of the items: the new items lie elsewhere" in tab.text("#live")
        assert "requests a second\n12.5" in re.sub(r"\s*\n\s*", "\n", tab.text("#live"))
        assert tab.run("document.querySelector('path.line.p99').getAttribute('d').split('L').length") == 6, "five of six, and now"
        assert "Not judged yet: scores: 120 of 500 seen, unknown: no reference" in tab.text("#live")
        assert tab.run("document.querySelectorAll('rect.over').length") == 1, "the items' drift is over its threshold"
        service.routes["GET /v1/monitor"] = always({**MONITOR, "alarms": []})
        tab.until("document.querySelector('#live .calm')")
        service.routes["GET /v1/monitor"] = lambda asked: refused(503, "draining")
        tab.until("document.querySelector('#live .told')?.innerText.startsWith('draining What is shown was seen at')")

    def test_a_server_that_has_seen_nothing_yet(self, browser, service):
        service.routes["GET /v1/monitor"] = always({"version": 2, "requests": 0, "alarms": []})
        tab = browser.tab(f"{service.url}/#view=live")
        tab.until("document.querySelector('#live').innerText.includes('No search was answered yet')")
        assert tab.complaints() == []


def sources(ending):
    return {each.name: each.read_text(encoding="utf-8") for each in PAGE.iterdir() if each.name.endswith(ending)}


def test_no_script_makes_elements_of_text():
    unsafe = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage|document\.cookie")
    assert {name: unsafe.findall(text) for name, text in sources(".js").items() if unsafe.search(text)} == {}


def test_nothing_comes_from_elsewhere():
    allowed = {"http://www.w3.org/2000/svg"}
    for name, text in {**sources(".js"), **sources(".css"), **sources(".html")}.items():
        assert set(re.findall(r"https?://[^\s\"'`)]+", text)) <= allowed, name
        assert "@import" not in text


def test_the_html_holds_no_script_and_no_style():
    text = sources(".html")["index.html"]
    page = Page(text)
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{"type": "module", "src": "static/page.js"}]
    assert [name for _, attributes in page.tags for name in attributes if name == "style" or name.startswith("on")] == []
    own = next(attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv") == "Content-Security-Policy")
    assert own == POLICY.removesuffix("; frame-ancestors 'none'"), "the header says the same and, as only a header can, who may frame it"
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_every_module_that_is_imported_is_there():
    scripts = sources(".js")
    imported = {name for text in scripts.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    assert imported | {"page.js"} == set(scripts)


def luminance(colour):
    """WCAG 2.2: relative luminance."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_and_parts_stand_out(theme):
    blocks = re.findall(r":root \{(.*?)\}", sources(".css")["page.css"], re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[theme]))
    texts = "text/page text/card text/soft muted/page muted/card muted/soft accent/card accent/soft on-accent/accent"
    boxes = "good/good-soft bad/bad-soft warn/warn-soft"
    parts = "strong/card series-1/card series-2/card series-3/card"
    least = dict.fromkeys(f"{texts} {boxes}".split(), 4.5) | dict.fromkeys(parts.split(), 3.0)
    found = {pair: contrast(*(colours[name] for name in pair.split("/"))) for pair in least}
    assert {pair: round(value, 2) for pair, value in found.items() if value < least[pair]} == {}
