// What is asked, as the fragment of the page's address: to be shared, and never sent to a server by the browser itself.

export const K = 10;
const GROUPS = { f: "features", c: "context" };

export function empty() {
  return { text: "", id: "", features: {}, context: {}, history: [], filters: [], k: K, seen: false, exact: false, view: "search" };
}

/** The fragment of a state, without what is as usual. */
export function written(state) {
  const words = new URLSearchParams();
  const add = (name, value) => {
    if (value !== "" && value !== undefined && value !== false) words.append(name, value === true ? "1" : value);
  };
  add("q", state.text);
  add("id", state.id);
  for (const [short, group] of Object.entries(GROUPS)) {
    for (const [name, value] of Object.entries(state[group])) [value].flat().forEach((each) => add(`${short}.${name}`, each));
  }
  state.history.forEach((item) => add("h", item));
  for (const { column, how, values } of state.filters) values.forEach((value) => add(`w.${how}.${column}`, value));
  if (state.k !== K) add("k", state.k);
  add("seen", state.seen);
  add("exact", state.exact);
  if (state.view !== "search") add("view", state.view);
  return words.toString();
}

/** The state of a fragment; what it does not say is as usual. */
export function read(fragment) {
  const state = empty();
  const single = { q: "text", id: "id", view: "view" };
  for (const [key, value] of new URLSearchParams(fragment.replace(/^#/, ""))) {
    const [head, ...rest] = key.split(".");
    if (single[key]) state[single[key]] = value;
    else if (key === "k") state.k = Math.max(1, Math.floor(Number(value)) || K);
    else if (key === "seen" || key === "exact") state[key] = value === "1";
    else if (key === "h") state.history.push(value);
    else if (GROUPS[head]) add(state[GROUPS[head]], rest.join("."), value);
    else if (head === "w" && rest.length > 1) filter(state.filters, rest[0], rest.slice(1).join("."), value);
  }
  return state;
}

function add(group, name, value) {
  const before = Object.hasOwn(group, name) ? [group[name]].flat() : [];
  Object.defineProperty(group, name, { value: before.length ? [...before, value] : value, enumerable: true, writable: true, configurable: true });
}

function filter(filters, how, column, value) {
  const same = filters.find((each) => each.how === how && each.column === column);
  if (same) same.values.push(value);
  else filters.push({ column, how, values: [value] });
}
