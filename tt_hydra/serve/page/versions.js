// The versions of the registry, and the switch between them.

import { $, count, figure, h, inWords, short, show } from "./dom.js";
import { Refused, call, token } from "./api.js";

const SHOWN = { "valid/index/recall@10": "valid recall@10", "valid/index/ndcg@10": "valid ndcg@10", "search/p99_ms": "p99, ms", "index/bytes_per_item": "bytes an item" };

/** Draws the list; `switched` is called after another one was activated. */
export function drawVersions(known, switched) {
  const figures = Object.keys(SHOWN).filter((name) => known.versions.some(({ measured }) => measured?.[name] !== undefined));
  const heads = ["Version", "", "Made", "Items", "Model", "Index", ...figures];
  const newest = [...known.versions].sort((one, other) => other.version - one.version);
  const numbers = new Set(["Items", ...figures]);
  const head = h("tr", {}, heads.map((name) => h("th", { scope: "col", class: numbers.has(name) ? "num" : null, title: SHOWN[name] && name }, SHOWN[name] || name || h("span", { class: "hidden" }, "Switch"))));
  const table = h("table", {}, h("caption", {}, "Versions"), h("thead", {}, head), h("tbody", {}, newest.map((version) => row(version, known, figures, switched))));
  const scroll = h("div", { class: "scroll", role: "region", "aria-label": "Versions", tabindex: "0" }, table);
  $("#versions").replaceChildren(h("div", { class: "card" }, h("h2", {}, count(known.versions.length, "version")), scroll, forget()));
}

function row(version, known, figures, switched) {
  const { version: number, created, items, model, metric, dim, index, measured } = version;
  const state = number === known.current ? badge("served", "good") : null;
  const go = number === known.current ? null : h("button", { type: "button", "data-activate": number, onclick: () => change(number, known.current, switched) }, "Serve", number === known.previous ? " again" : null);
  return h("tr", { class: number === known.current ? "current" : null },
    h("th", { scope: "row" }, String(number)),
    h("td", {}, state, go),
    h("td", { title: created }, moment(created)),
    h("td", { class: "num" }, figure(items)),
    h("td", {}, h("code", { title: model }, short(model)), h("span", { class: "note" }, [metric, dim && `${dim} dimensions`].filter(Boolean).join(", "))),
    h("td", {}, kindOf(index)),
    figures.map((name) => h("td", { class: "num" }, figure(measured?.[name]))));
}

const badge = (text, kind = "") => h("span", { class: `badge ${kind}` }, text);

const moment = (created) => String(created ?? "–").slice(0, 16).replace("T", " ");

/** The options of the configuration that an index was made with. */
function kindOf(index) {
  if (!index || typeof index !== "object") return inWords(index);
  const option = (part) => (part?._target_ ? String(part._target_).split(".").at(-2) : (part?.name ?? part));
  const options = [option(index.index ?? index), option(index.quantization)].filter((each) => each && each !== "none");
  return inWords(options);
}

function forget() {
  const button = h("button", { type: "button", class: "quiet", onclick: () => { token.set(null); show(button, false); } }, "Forget the token");
  button.hidden = !token.get();
  return button;
}

function change(number, current, switched) {
  const act = () => call(`v1/versions/${encodeURIComponent(number)}/activate`, { method: "POST" });
  withToken(`Serve version ${number}?`, `Searches are answered by version ${number} instead of ${current}, from the next one on.`, act, switched);
}

/** Asks for the token where there is none or it was refused, acts, and says why where it is refused. */
export function withToken(title, text, act, then) {
  const [dialog, value, problem, go] = ["#token", "#token-value", "#token-problem", "#token-go"].map($);
  $("#token-title").textContent = title;
  $("#token-text").textContent = text;
  value.value = "";
  show(problem, false);
  const ask = (asked) => show($("#token-ask"), asked);
  ask(!token.get());
  $("#token-cancel").onclick = () => dialog.close();
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    if (!/^[\x20-\x7e]*$/.test(value.value)) {
      problem.textContent = "This token holds letters that no header can carry.";
      show(problem, true);
      return;
    }
    if (value.value) token.set(value.value);
    go.disabled = true;
    try {
      await act();
      dialog.close();
      then();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.wantsToken) token.set(null);
      ask(!token.get());
      problem.textContent = error.message;
      show(problem, true);
      if (error.wantsToken) value.focus();
    } finally {
      go.disabled = false;
    }
  };
  dialog.showModal();
}
