// The server, as functions. A fault is an ApiError with a code, for which each language has a sentence.

export class ApiError extends Error {
  constructor(code, message = "") {
    super(message || code);
    this.code = code;
  }
}

/** Other windows may show this piece too. */
export function touched(piece) {
  if (piece) dispatchEvent(new CustomEvent("piece-touched", { detail: piece }));
}

async function ask(path, { method = "GET", json, body, headers = {}, ...more } = {}) {
  const options = { method, headers, body, ...more };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers = { "content-type": "application/json", ...headers };
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("offline");
  }
  if (answer.ok) {
    if (method !== "GET" && method !== "HEAD") touched(path.match(/^\/api\/pieces\/([^/?]+)/)?.[1]);
    return answer;
  }
  const problem = await answer.json().catch(() => ({ code: answer.headers.get("x-preludio-code") })); // an answer to HEAD has no body
  throw new ApiError(problem.code ?? "our_fault", problem.message);
}

const json = async (...request) => (await ask(...request)).json();
const at = (piece, rest = "") => `/api/pieces/${encodeURIComponent(piece)}${rest}`;

export const state = () => json("/api/state");
export const themes = () => json("/api/themes");
export const theme = (name) => json(`/api/themes/${encodeURIComponent(name)}`);
export const pieces = (search, starred) => json(`/api/pieces?${new URLSearchParams({ search, starred, limit: 500 })}`);
export const facts = (id) => json(at(id, "/facts"));
export const piece = (id) => json(at(id));
export const version = (id, number) => json(at(id, `/versions/${number}`));
export const begin = (wish) => json("/api/pieces", { method: "POST", json: wish });
export const upload = (file) => json(`/api/pieces/midi?${new URLSearchParams({ name: file.name.slice(0, 400) })}`, { method: "POST", body: file, headers: { "content-type": "audio/midi" } });
export const change = (id, changes) => json(at(id), { method: "PATCH", json: changes });
export const remove = (id) => ask(at(id), { method: "DELETE" });
export const restore = (id) => json(at(id, "/restore"), { method: "POST" });
// What was changed elsewhere meanwhile is not overwritten: these take a piece as it was seen, and fail with "changed" if it is another.
export const undo = ({ id, mark }) => json(at(id, `/undo?seen=${mark}`), { method: "POST" });
export const redo = ({ id, mark }) => json(at(id, `/redo?seen=${mark}`), { method: "POST" });
export const goTo = ({ id, mark }, number) => json(at(id, "/head"), { method: "PUT", json: { version: number, seen: mark } });
export const addNotes = (id, more) => json(at(id, "/notes"), { method: "POST", json: more, keepalive: true });
export const downloadPath = (id, format) => at(id, `/download/${format}`);
export const check = (path) => ask(path, { method: "HEAD" });
export const models = () => json("/api/models");
export const edit = ({ id, mark }, changes) => json(at(id, "/edit"), { method: "POST", json: { changes, seen: mark } });
export const stop = (id) => ask(at(id, "/stop"), { method: "POST" });

export const compose = (wish, signal) => stream("/api/compose", { method: "POST", json: wish, signal });
export const answer = (phrase, signal) => stream("/api/answer", { method: "POST", json: phrase, signal });
export const follow = (id, signal) => stream(at(id, "/follow"), { signal });

/** Server-sent events, as objects with `event` and what belongs to it. Aborting the signal stops the work. */
async function* stream(...request) {
  const answer = await ask(...request);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) yield parsed(block);
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("offline");
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
  return { event: fields.event, ...JSON.parse(fields.data) };
}
