// The server's answers, its refusals in words, and its token.

const TOKEN = "tt_hydra token";

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};

export class Refused extends Error {
  constructor(reason, { status = null, field = null, wait = null } = {}) {
    super(reason);
    Object.assign(this, { status, field, wait });
  }

  get wantsToken() {
    return this.status === 401 || this.status === 403;
  }

  /** Whether the same may go through later. */
  get passing() {
    return this.status === null || this.status === 429 || this.status === 503;
  }
}

/** An answer of the server; throws Refused, or the AbortError of the signal. */
export async function call(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server cannot be reached. Is it still running?");
  }
  const text = await response.text();
  if (response.ok) return parsed(text) ?? {};
  throw refusal(response, parsed(text));
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function refusal(response, answer) {
  const wait = Number(response.headers.get("Retry-After")) || null;
  const { reason, field } = answer?.error ?? {};
  const told = reason ?? `The server answered ${response.status} ${response.statusText} without a reason.`;
  return new Refused(told, { status: response.status, field, wait });
}

const sleep = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

/** The same, asked again after the time that a busy server names. */
export async function patient(path, options, onWait) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await call(path, options);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 429 || tries === 3) throw error;
      const wait = Math.min(error.wait ?? 1, 10);
      onWait(wait);
      await sleep(wait, options.signal);
    }
  }
}
