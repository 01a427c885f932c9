// The page: what is asked, by typing or by address, is searched for; the last question wins.

import { $, h, short, show } from "./dom.js";
import { Refused, call, patient, token } from "./api.js";
import { empty, read, written } from "./address.js";
import { buildForm, queryOf } from "./form.js";
import { filterBody } from "./filters.js";
import { drawResults, drawStatus, walk } from "./results.js";
import { drawVersions, withToken } from "./versions.js";
import { look, watch } from "./live.js";

const TYPING = 140;
const VIEWS = ["search", "live", "versions"];

let schema = null;
let known = null;
let form = null;
let state = { ...empty(), ...read(location.hash) };
let running = null;
let typing = null;

const metric = (version) => known?.versions.find((each) => each.version === version)?.metric;

function problem(text) {
  $("#problem").textContent = text ?? "";
  show($("#problem"), Boolean(text));
}

function refused(error, again) {
  if (!(error instanceof Refused)) throw error;
  problem(error.field ? `${error.message} (${error.field})` : error.message);
  if (!error.wantsToken || !again) return;
  token.set(null);
  withToken("This server asks for its token", error.message, () => call("v1/versions"), again);
}

/** What the server takes and serves; asked for again while it is still warming up. */
async function learn() {
  const before = JSON.stringify(schema);
  [schema, known] = await Promise.all([call("v1/schema"), call("v1/versions")]);
  const served = known.versions.find(({ version }) => version === known.current);
  $("#served").replaceChildren("serves version ", h("strong", {}, String(known.current)), ", model ", h("code", { title: served?.model }, short(served?.model)));
  drawVersions(known, again);
  if (form && before === JSON.stringify(schema)) return;
  const writes = form && document.activeElement === form.box;
  form = buildForm($("#ask"), schema, asked);
  fill();
  if (writes) form.box.focus();
}

/** The form says what the state says; the state keeps what the form takes. */
function fill() {
  form.write(state);
  state = { ...state, ...form.read() };
}

async function start() {
  try {
    await learn();
  } catch (error) {
    refused(error, start);
    if (error.passing) setTimeout(start, 1000 * (error.wait ?? 2));
    return;
  }
  problem(null);
  view(VIEWS.includes(state.view) ? state.view : "search");
  watch(() => state.view === "live");
  if (state.view === "search") form.box?.focus({ preventScroll: true });
  search();
}

/** Another version is served: its form and its answers. */
async function again() {
  state = { ...state, ...form.read() };
  await learn().catch(refused);
  search();
  look();
}

function view(name) {
  state.view = name;
  for (const panel of document.querySelectorAll("[data-panel]")) show(panel, panel.dataset.panel === name);
  for (const button of document.querySelectorAll("[data-view]")) {
    if (button.dataset.view === name) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  if (name === "live") look();
}

function address(push) {
  const fragment = written(state);
  const target = fragment ? `#${fragment}` : location.pathname + location.search;
  if (fragment === location.hash.slice(1)) return;
  if (push) history.pushState(null, "", target);
  else history.replaceState(null, "", target);
}

/** The form was sent: searched at once, and a step of the history. */
function asked() {
  clearTimeout(typing);
  state = { ...state, ...form.read() };
  address(true);
  search();
}

/** The form is being filled: searched when the typing pauses. */
function typed() {
  clearTimeout(typing);
  typing = setTimeout(() => {
    state = { ...state, ...form.read() };
    address(false);
    search();
  }, TYPING);
}

async function search() {
  running?.abort();
  running = null;
  $("#found").removeAttribute("aria-busy");
  const query = queryOf(state);
  document.title = state.text ? `${state.text} · tt_hydra` : "tt_hydra";
  if (!query) {
    problem(null);
    $("#results").replaceChildren();
    $("#status").textContent = "Nothing is asked yet.";
    return;
  }
  const mine = (running = new AbortController());
  $("#found").setAttribute("aria-busy", "true");
  try {
    const began = performance.now();
    const answer = await patient("v1/search", { method: "POST", body: body(query), signal: mine.signal }, (wait) => problem(`The server is busy; it is asked again in ${wait} s.`));
    const took = performance.now() - began;
    if (mine !== running) return;
    problem(null);
    drawStatus(answer, took);
    drawResults(answer, schema, metric(answer.version));
    if (answer.version !== known.current) await learn();
  } catch (error) {
    if (error.name === "AbortError" || mine !== running) return;
    refused(error, search);
  } finally {
    if (mine === running) $("#found").removeAttribute("aria-busy");
  }
}

function body(query) {
  const asked = { queries: [query], k: state.k, include: "*" };
  const filter = filterBody(state.filters, schema.items.columns ?? []);
  if (Object.keys(filter).length) asked.filter = filter;
  if (state.seen) asked.exclude_seen = true;
  if (state.exact) asked.exact = true;
  return asked;
}

function key(event) {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || $("#token").open || state.view !== "search" || !form) return;
  const writes = event.target.closest?.("input, select, textarea");
  if (event.key === "/" && !writes) {
    event.preventDefault();
    form.box.focus();
    form.box.select?.();
  } else if (event.key === "Escape") {
    escape(event);
  } else {
    walk(event, form.box);
  }
}

/** From a result back to the question; in the question, away with it. */
function escape(event) {
  if (document.activeElement !== form.box) form.box.focus();
  else {
    form.clear();
    typed();
  }
  event.preventDefault();
}

$("#ask").addEventListener("submit", (event) => {
  event.preventDefault();
  asked();
});
$("#ask").addEventListener("input", (event) => event.isComposing || typed());
$("#ask").addEventListener("compositionend", typed);
$("#skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("#results").focus();
});
for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => {
    view(button.dataset.view);
    address(true);
  });
}
document.addEventListener("keydown", key);
window.addEventListener("popstate", () => {
  state = { ...empty(), ...read(location.hash) };
  if (!form) return;
  fill();
  view(VIEWS.includes(state.view) ? state.view : "search");
  search();
});
start();
