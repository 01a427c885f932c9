// Live figures from GET /v1/monitor: refreshed quietly, drawn only while they are seen.

import { $, age, count, figure, h, inWords, milliseconds, percent, show } from "./dom.js";
import { call } from "./api.js";
import { gauge, lines, phases, ratios } from "./charts.js";

const SEEN_EVERY = 2000;
const UNSEEN_EVERY = 20000;
const PERCENTILES = ["p50", "p95", "p99"];
const PHASES = ["tower", "search", "merge", "total"];

let latest = null;
let seenAt = null;
let timer = null;
let drawn = 0;
let isSeen = () => false;

/** Starts to ask; `seen` says whether the figures are on the screen. */
export function watch(seen) {
  isSeen = seen;
  document.addEventListener("visibilitychange", () => document.hidden || look());
  new ResizeObserver(() => latest && isSeen() && $("#live").clientWidth !== drawn && draw()).observe($("#live"));
  look();
}

/** Asks now, and again later. */
export async function look() {
  clearTimeout(timer);
  try {
    if (!document.hidden) keep(await call("v1/monitor"));
  } catch (error) {
    told(latest ? `${error.message} What is shown was seen at ${seenAt.toTimeString().slice(0, 8)}.` : error.message);
  }
  clearTimeout(timer);
  timer = setTimeout(look, isSeen() ? SEEN_EVERY : UNSEEN_EVERY);
}

function keep(state) {
  latest = state;
  seenAt = new Date();
  const alarms = state.alarms ?? [];
  $("#alarm-count").textContent = String(alarms.length);
  $("#alarm-count").title = count(alarms.length, "alarm");
  show($("#alarm-count"), alarms.length > 0);
  if (isSeen()) draw();
}

/** The last half hour as the server kept it, and this moment: { times, p50, ..., recall, recall_low, recall_high }. */
function trail({ series = {}, latency = {}, recall }) {
  const now = { ...latency.total, recall: recall?.value, recall_low: recall?.low, recall_high: recall?.high };
  const times = [...(series.time ?? []).map((time) => 1000 * time), seenAt.getTime()];
  const column = (name) => [...(series[name] ?? []), now[name] ?? null];
  return { times, column };
}

function told(text) {
  const node = $("#live .told") ?? h("p", { class: "told problem" });
  node.textContent = text;
  if (!node.parentNode) $("#live").prepend(node);
}

function draw() {
  drawn = $("#live").clientWidth;
  if (!Object.keys(latest).length) {
    $("#live").replaceChildren(h("p", { class: "note" }, "This service was started without monitoring."));
    return;
  }
  const columns = matchMedia("(min-width: 60rem)").matches ? 2 : 1;
  const width = Math.max(240, Math.floor((drawn - 20 * (columns - 1)) / columns) - 44);
  $("#live").replaceChildren(...[alarms(latest), latency(latest, width), phase(latest, width), recall(latest, width), drift(latest, width), state(latest)].filter(Boolean));
}

function card(title, note, ...children) {
  return h("div", { class: "card" }, h("h2", {}, title), note ? h("p", { class: "note" }, note) : null, children);
}

function alarms({ alarms: raised = [] }) {
  if (!raised.length) return h("p", { class: "calm wide" }, "No alarm.");
  return h("div", { class: "warnings wide" }, h("h2", {}, count(raised.length, "alarm")), h("ul", {}, raised.map((alarm) => h("li", {}, typeof alarm === "string" ? alarm : `${String(alarm.name).replaceAll("_", " ")}: ${alarm.reason}`))));
}

const legend = (names) => h("p", { class: "legend", "aria-hidden": "true" }, names.map((name) => h("span", { class: name }, name)));

function latency(state, width) {
  const total = state.latency?.total;
  if (!total?.count) return card("Latency in milliseconds", "No search was answered yet.");
  const { times, column } = trail(state);
  const series = PERCENTILES.map((name) => ({ name, kind: name, values: column(name) }));
  const words = PERCENTILES.map((name) => `${name} ${milliseconds(total[name])}`).join(", ");
  return card("Latency in milliseconds", `${words}; ${count(total.count, "request")}`, lines({ times, series, width, told: `Latency over time: now ${words}` }), legend(PERCENTILES));
}

function phase({ latency: now = {} }, width) {
  const rows = PHASES.filter((name) => now[name]?.count).map((name) => ({ name, ...now[name] }));
  if (!rows.length) return null;
  const words = rows.map(({ name, p50, p95, p99 }) => `${name} ${[p50, p95, p99].map((each) => figure(each)).join(", ")}`).join("; ");
  return card("Where the time goes", "p50, p95 and p99 of each phase", phases({ rows, width, told: `Milliseconds at p50, p95, p99: ${words}` }), legend(PERCENTILES));
}

function recall(state, width) {
  const now = state.recall;
  if (!now?.count) return card("Recall of the index", "No search was compared with an exact one yet.");
  const words = `${percent(now.value)} of the exact results are found, between ${percent(now.low)} and ${percent(now.high)}; ${count(now.count, "result")} compared`;
  const { times, column } = trail(state);
  const series = [{ name: "recall", kind: "p50", values: column("recall") }];
  const over = lines({ times, series, band: { low: column("recall_low"), high: column("recall_high") }, mark: now.alarm_below, range: [null, 1], width, height: 110, told: "Recall over time" });
  return card("Recall of the index", words, gauge({ ...now, mark: now.alarm_below, width, told: words }), over);
}

function drift({ drift: now = {} }, width) {
  const kinds = Object.entries(now).filter(([, kind]) => kind);
  const rows = kinds.filter(([, { statistic, threshold }]) => threshold > 0 && Number.isFinite(statistic))
    .map(([name, { statistic, threshold, alarm }]) => ({ name, ratio: statistic / threshold, alarm: Boolean(alarm) }));
  const waiting = kinds.filter(([, { statistic }]) => !Number.isFinite(statistic)).map(([name, { seen, needed }]) => `${name}: ${needed ? `${seen} of ${needed} seen` : "no reference"}`);
  const open = waiting.length ? h("p", { class: "note" }, `Not judged yet: ${waiting.join(", ")}`) : null;
  if (!rows.length) return card("Drift", "Too little was seen yet, or this version holds no reference.", open);
  const words = rows.map(({ name, ratio }) => `${name} ${figure(ratio, 2)}`).join(", ");
  return card("Drift", "Distance from the version's reference, as a part of the one that alarms", ratios({ rows, width, told: `Drift beside its threshold: ${words}` }), open);
}

function state({ health = {}, age: ages = {}, unknown, coverage, requests, series }) {
  const facts = [
    ["items that can be found", figure(health?.alive)], ["added beside the index", figure(health?.delta)], ["deleted or replaced", figure(health?.dead)],
    ["age of the model", age(ages.model_s)], ["age of the index", age(ages.index_s)], ["age of the oldest change", age(ages.delta_s)],
    ["unknown values in requests", percent(unknown?.share)], ["items shown so far", percent(coverage)], ["requests", figure(requests)],
    ["requests a second", figure(series?.requests_per_s?.at(-1))],
  ].filter(([, value]) => value !== "–");
  return h("div", { class: "card wide" }, h("h2", {}, "Catalogue and traffic"), h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, inWords(value))))));
}
