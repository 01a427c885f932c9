// Elements by construction: every text becomes a text node, so that no title or id can become a tag.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (selector) => document.querySelector(selector);

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function show(node, shown) {
  node.hidden = !shown;
}

export function count(number, one, many = `${one}s`) {
  return `${Number(number).toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** A number with at most so many significant digits, thousands set apart. */
export function figure(value, digits = 3) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
}

export function milliseconds(value) {
  return typeof value === "number" && Number.isFinite(value) ? `${figure(value)} ms` : "–";
}

export function percent(value) {
  return typeof value === "number" && Number.isFinite(value) ? `${figure(100 * value)}%` : "–";
}

const AGES = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** A length of time in words: the largest unit that fits. */
export function age(seconds) {
  if (typeof seconds !== "number" || !Number.isFinite(seconds)) return "–";
  const [unit, size] = AGES.find(([, each]) => seconds >= each) ?? AGES.at(-1);
  return count(Math.floor(Math.max(0, seconds) / size), unit);
}

export function short(fingerprint) {
  return String(fingerprint ?? "").slice(0, 8);
}

export function inWords(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (Array.isArray(value)) return value.map(inWords).join(", ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
