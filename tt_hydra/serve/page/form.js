// The form of a query, made from what GET /v1/schema says that the model takes.

import { h } from "./dom.js";
import { choice, labelled, number, several, text, tick } from "./fields.js";
import { filters } from "./filters.js";
import { K } from "./address.js";

const SEARCH = { enterkeyhint: "search", "aria-keyshortcuts": "/", spellcheck: "false" };
const LAST_KNOWN = "its last known features and history";
const KINDS = {
  numeric: () => number(),
  categorical: (feature) => choice({ values: feature.values }),
  multi: (feature) => several({ values: feature.values }),
  history: () => several(),
  time: () => text({ placeholder: "2026-01-31T12:00" }),
};

/** Fills the form; gives { read() -> state, write(state), focus(), box }. */
export function buildForm(form, schema, ask) {
  const { query } = schema;
  const box = h("input", { type: "search", id: "q", name: "q", placeholder: "Search", "aria-label": "Search text", ...SEARCH });
  const parts = {
    id: query.known_ids ? text({ values: query.example_ids, placeholder: query.text ? LAST_KNOWN : `Known id: ${LAST_KNOWN}` }) : null,
    features: group(query.features, boxed(query)),
    context: group(query.context, boxed(query)),
    history: query.history ? labelled("History", several({ placeholder: "item id, then Enter" }), "Ids of earlier items, oldest first.") : null,
    filters: filters(schema.items.columns ?? []),
    k: labelled("Results", number({ min: 1, max: most(schema.limits), step: 1 })),
    seen: tick("Leave out what the query had before"),
    exact: tick("Compare with every item, without the index"),
  };
  const examples = (query.example_ids ?? []).slice(0, 6);
  const tried = examples.length && parts.id ? tries(examples, parts.id, ask) : null;
  const who = [...nodes(parts.features), parts.history?.node];
  if (query.text && parts.id) who.unshift(labelled("Known id", parts.id).node, tried);
  const groups = [
    section("Who asks", who),
    section("When and where", nodes(parts.context)),
    section("What may be found", [parts.filters.node, parts.k.node, parts.seen.node, parts.exact.node]),
  ];
  const main = query.text ? box : parts.id?.input;
  if (main && !query.text) Object.entries({ ...SEARCH, "aria-label": "Known id" }).forEach(([name, value]) => main.setAttribute(name, value));
  const wide = matchMedia("(min-width: 60rem)").matches;
  const details = h("details", { class: "more", open: wide || !main }, h("summary", {}, "Query and filters"), groups);
  const asked = query.text ? box : (parts.id?.node ?? h("p", { class: "note" }, "This model takes neither texts nor known ids: say who asks."));
  const top = h("div", { class: "top" }, asked, h("button", { type: "submit", class: "main" }, "Search"), query.text ? null : tried);
  form.replaceChildren(top, details);
  return {
    box: main ?? details.querySelector("input, select"),
    read: () => readForm(box, parts),
    write: (state) => writeForm(box, parts, state),
    clear: () => { if (main) main.value = ""; },
  };
}

function readForm(box, parts) {
  const values = (fields) => Object.fromEntries([...fields].map(([name, field]) => [name, field.read()]).filter(([, value]) => value !== undefined));
  return {
    text: box.value.trim(),
    id: parts.id?.read() ?? "",
    features: values(parts.features),
    context: values(parts.context),
    history: parts.history?.read() ?? [],
    filters: parts.filters.read(),
    k: Math.max(1, Math.floor(parts.k.read() ?? K)),
    seen: parts.seen.read(),
    exact: parts.exact.read(),
  };
}

function writeForm(box, parts, state) {
  box.value = state.text;
  parts.id?.write(state.id);
  for (const name of ["features", "context"]) for (const [key, field] of parts[name]) field.write(state[name][key]);
  parts.history?.write(state.history);
  for (const name of ["filters", "k", "seen", "exact"]) parts[name].write(state[name]);
}

/** Name of the feature that the search box stands for. */
function boxed(query) {
  const texts = [...(query.features ?? []), ...(query.context ?? [])].filter(({ kind }) => kind === "text").map(({ name }) => name);
  return query.text ? (texts.includes("text") ? "text" : texts[0]) : null;
}

function group(features, without) {
  return new Map((features ?? []).filter(({ name }) => name !== without).map((feature) => [feature.name, labelled(feature.name, (KINDS[feature.kind] ?? text)(feature))]));
}

const nodes = (fields) => [...fields.values()].map((field) => field.node);

function section(title, children) {
  const shown = children.filter(Boolean);
  return shown.length ? h("div", { class: "group", role: "group", "aria-label": title }, h("h2", {}, title), shown) : null;
}

function tries(examples, field, ask) {
  const one = (id) => h("button", { type: "button", class: "chip", onclick: () => { field.write(id); ask(); } }, String(id));
  return h("p", { class: "tries" }, h("span", { class: "note" }, "For example "), examples.map(one));
}

function most(limits = {}) {
  return limits.k ?? limits.max_k ?? null;
}

/** The body of POST /v1/search for a state; null where nothing is asked. */
export function queryOf(state) {
  const query = {};
  if (state.text) query.text = state.text;
  if (state.id) query.id = state.id;
  for (const name of ["features", "context"]) if (Object.keys(state[name]).length) query[name] = state[name];
  if (state.history.length) query.history = state.history;
  return Object.keys(query).length ? query : null;
}
