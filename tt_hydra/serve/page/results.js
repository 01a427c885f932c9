// An answer: the results with their scores, titles and fields, to be walked through by keyboard.

import { $, count, figure, h, inWords, short, show } from "./dom.js";

const CHIPS = 6;
const LONG = 120;

export function drawStatus(answer, took) {
  const found = answer.results[0].length;
  $("#status").replaceChildren(
    h("strong", {}, count(found, "result")), ` in ${figure(took, 2)} ms`,
    said("version", answer.version), said("index", answer.index), said("model", short(answer.model), answer.model),
  );
}

function said(name, value, whole = value) {
  return h("span", { class: "said", title: `${name} ${whole}` }, `${name} `, h("code", {}, String(value)));
}

export function drawResults(answer, schema, metric) {
  const hits = answer.results[0];
  $("#results").replaceChildren(...hits.map((hit, place) => one(hit, place + 1, share(hits, metric), schema.items.title)));
  if (!hits.length) $("#results").append(h("li", { class: "nothing" }, "Nothing was found: the filters leave no item, or the catalogue is empty."));
}

/** Part of the bar for a score: of 1 for a cosine, else of the best; from 0, or from the lowest where that is below 0. */
function share(hits, metric) {
  const scores = hits.map(({ score }) => score);
  const low = Math.min(0, ...scores);
  const high = metric === "cosine" ? Math.max(1, ...scores) : Math.max(...scores);
  return (score) => (high > low ? (score - low) / (high - low) : 1);
}

function one(hit, rank, part, titleColumn) {
  const fields = Object.entries(hit.fields ?? {}).filter(([name, value]) => name !== titleColumn && value !== null && value !== "" && String(value) !== hit.id);
  const given = titleColumn ? hit.fields?.[titleColumn] : null;
  const title = String(given ?? "").trim() ? given : null;
  const bar = h("i");
  bar.style.setProperty("--share", part(hit.score).toFixed(4));
  const all = h("dl", { class: "facts", id: `hit-${rank}`, hidden: true }, fields.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, inWords(value)))));
  const chips = h("ul", { class: "chips" }, fields.slice(0, CHIPS).map(([name, value]) => h("li", {}, h("span", {}, `${name} `), cut(inWords(value)))));
  const open = h("button", { type: "button", class: "title", "aria-expanded": "false", "aria-controls": all.id, onclick: () => turn(open, chips, all) }, h("span", {}, inWords(title ?? hit.id)));
  return h("li", { class: "hit" },
    h("span", { class: "rank", "aria-hidden": "true" }, String(rank)),
    h("div", { class: "what" }, open, title ? h("code", { class: "id" }, String(hit.id)) : null, fields.length ? chips : null, all),
    h("div", { class: "score" }, h("span", { class: "bar", "aria-hidden": "true" }, bar), h("span", { class: "num" }, hit.score.toFixed(4))));
}

function turn(open, chips, all) {
  const opened = all.hidden;
  open.setAttribute("aria-expanded", String(opened));
  show(all, opened);
  show(chips, !opened);
}

function cut(text) {
  return text.length > LONG ? `${text.slice(0, LONG)}…` : text;
}

/** Arrows, Home and End walk through the results; up from the first leads back. */
export function walk(event, box) {
  const titles = [...document.querySelectorAll("#results .title")];
  const here = titles.indexOf(document.activeElement);
  const from = document.activeElement === box ? -1 : here;
  if (!titles.length || (here < 0 && document.activeElement !== box)) return;
  const to = { ArrowDown: from + 1, ArrowUp: from - 1, Home: 0, End: titles.length - 1 }[event.key];
  if (to === undefined || (from < 0 && event.key !== "ArrowDown")) return;
  event.preventDefault();
  const next = to < 0 ? box : titles[Math.min(to, titles.length - 1)];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}
