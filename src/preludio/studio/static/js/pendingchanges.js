// Titles and stars on their way to the store. What has not arrived lies in the browser's own storage, and is sent again.

import * as api from "./api.js";

const NAME = "preludio.change."; // and the piece
const PASSING = ["offline", "disk_full", "locked"];

/** Pieces of which something has not arrived. */
export const unsent = () => Object.keys(localStorage).filter((name) => name.startsWith(NAME)).map((name) => name.slice(NAME.length));

/** Names or stars a piece; its facts then. */
export function change(id, changes) {
  localStorage.setItem(NAME + id, JSON.stringify({ ...waiting(id), ...changes }));
  return send(id);
}

/** Sends what has not arrived of a piece; it waits on if the server is gone, or cannot keep it now. */
export async function send(id) {
  const changes = waiting(id);
  try {
    const facts = await api.change(id, changes);
    forget(id, changes);
    return facts;
  } catch (error) {
    if (!PASSING.includes(error.code)) forget(id, changes);
    throw error;
  }
}

/** Unless another was given meanwhile. */
function forget(id, changes) {
  if (JSON.stringify(waiting(id)) === JSON.stringify(changes)) localStorage.removeItem(NAME + id);
}

function waiting(id) {
  try {
    return JSON.parse(localStorage.getItem(NAME + id)) ?? {};
  } catch {
    return {}; // not ours
  }
}
