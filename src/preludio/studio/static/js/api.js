// The server, as functions. A fault is an ApiError with a code, for which each language has a sentence.

export class ApiError extends Error {
  constructor(code, message = "") {
    super(message || code);
    this.code = code;
  }
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
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new ApiError(problem.code ?? "our_fault", problem.message);
}

const json = async (...request) => (await ask(...request)).json();
const at = (piece, rest = "") => `/api/pieces/${encodeURIComponent(piece)}${rest}`;

export const state = () => json("/api/state");
export const themes = () => json("/api/themes");
export const theme = (name) => json(`/api/themes/${encodeURIComponent(name)}`);
export const pieces = (search, starred) => json(`/api/pieces?${new URLSearchParams({ search, starred, limit: 500 })}`);
export const piece = (id) => json(at(id));
export const version = (id, number) => json(at(id, `/versions/${number}`));
export const begin = (wish) => json("/api/pieces", { method: "POST", json: wish });
export const upload = (file) => json(`/api/pieces/midi?${new URLSearchParams({ name: file.name.slice(0, 400) })}`, { method: "POST", body: file, headers: { "content-type": "audio/midi" } });
export const change = (id, changes) => json(at(id), { method: "PATCH", json: changes });
export const remove = (id) => ask(at(id), { method: "DELETE" });
export const restore = (id) => json(at(id, "/restore"), { method: "POST" });
export const undo = (id) => json(at(id, "/undo"), { method: "POST" });
export const redo = (id) => json(at(id, "/redo"), { method: "POST" });
export const goTo = (id, number) => json(at(id, "/head"), { method: "PUT", json: { version: number } });
export const addNotes = (id, more) => json(at(id, "/notes"), { method: "POST", json: more, keepalive: true });
export const downloadPath = (id, format) => at(id, `/download/${format}`);
export const download = (path) => ask(path);

/** Server-sent events of a POST, as objects with `event` and what belongs to it. Aborting the signal stops the work. */
export async function* stream(path, wish, signal) {
  const answer = await ask(path, { method: "POST", json: wish, signal });
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
