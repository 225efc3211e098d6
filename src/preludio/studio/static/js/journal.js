// Notes that were played, on their way to the store. What has not arrived lies in the browser's own storage, and is sent again.

import * as api from "./api.js";
import { banner, complain } from "./notices.js";

const NAME = "preludio.pending";
const RETRY_MS = 1000;
const AT_ONCE = 1000; // notes in one message

export class Journal {
  /** name: of its place in the browser's storage, one of its own for each: two tabs may be played in at once. */
  constructor(kind, state = {}, name = `${NAME}.${Date.now()}.${Math.random()}`) {
    this.state = { kind, key: newKey(), piece: null, version: null, place: 0, fromMs: 0, notes: [], ...state };
    this.name = name;
    this.sending = null;
    this.retry = null;
    this.trouble = null; // what has been told
    this.ended = false;
    this.onpiece = () => {};
    this.onarrived = () => {}; // the last notes, late
    navigator.locks?.request(name, () => new Promise(() => {})); // held while this page lives
  }

  /** Those that pages before this one could not send. */
  static async left() {
    const alive = new Set(((await navigator.locks?.query())?.held ?? []).map((lock) => lock.name));
    const names = Object.keys(localStorage).filter((name) => name.startsWith(NAME) && !alive.has(name));
    return names.map(restored).filter(Boolean);
  }

  /** Rows of onset_ms, offset_ms, pitch, velocity, part. */
  add(rows) {
    this.state.notes.push(...rows.map((row) => row.map(Math.round)));
    this.#store();
    this.#send();
  }

  /** Whether notes have not arrived yet. */
  get waiting() {
    return this.state.notes.length > 0;
  }

  #store() {
    if (this.waiting) localStorage.setItem(this.name, JSON.stringify(this.state));
    else localStorage.removeItem(this.name);
  }

  /** Sends the rest: the piece, or null if nothing was played. What cannot be sent now is `waiting`, and is sent later by itself. */
  async end() {
    this.ended = true;
    await this.#send();
    return this.state.piece;
  }

  #send() {
    this.sending ??= this.#sent().finally(() => { this.sending = null; });
    return this.sending;
  }

  async #sent() {
    clearTimeout(this.retry);
    const wasLate = this.retry !== null;
    this.retry = null;
    while (this.waiting) {
      const notes = this.state.notes.slice(0, AT_ONCE);
      try {
        this.state.notes.splice(0, await this.#arrived(notes));
      } catch (error) {
        if (this.#failed(error, notes.length)) return;
        continue;
      }
      this.#ease();
      this.#store();
    }
    if (wasLate && this.ended && this.state.piece) this.onarrived(this.state.piece);
  }

  /** How many have arrived: more than these, if an answer was lost that said so. */
  async #arrived(rows) {
    const { state } = this;
    const notes = since(rows, state.fromMs);
    if (state.piece !== null) {
      const before = state.place;
      state.place = (await api.addNotes(state.piece, { version: state.version, place: before, notes })).n_notes;
      return state.place - before;
    }
    const piece = await api.begin({ kind: state.kind, key: state.key, notes, ...(state.model ? { model: state.model } : {}) });
    const [begun] = piece.history; // somebody may have gone on from it since
    Object.assign(state, { piece: piece.id, version: begun.id, place: begun.n_notes });
    this.onpiece(piece);
    return state.place;
  }

  /** True if there is nothing to do now but to wait. */
  #failed(error, n) {
    const { state } = this;
    if (error.code === "gone" || (error.code === "bad_value" && state.piece !== null)) {
      // Deleted, or as long as a piece can be: what is left becomes a piece of its own, and begins at once.
      Object.assign(state, { piece: null, key: newKey(), fromMs: Math.min(...state.notes.map((row) => row[0])) });
    } else if (error.code === "bad_value") {
      state.notes.splice(0, n); // never to be had
      complain(error);
    } else {
      this.#worry(error);
      this.retry = setTimeout(() => this.#send(), RETRY_MS);
    }
    this.#store();
    return this.retry !== null;
  }

  /** A full disk, and whatever else may pass, is told for as long as it lasts. */
  #worry(error) {
    if (this.trouble === (error.code ?? "our_fault")) return;
    this.#ease();
    this.trouble = error.code ?? "our_fault";
    if (this.trouble === "offline") complain(error);
    else banner(`e_${this.trouble}`);
  }

  #ease() {
    if (this.trouble && this.trouble !== "offline") banner(`e_${this.trouble}`, false);
    this.trouble = null;
  }
}

/** By this the server knows a piece again whose beginning it is sent twice. */
const newKey = () => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(16).padStart(8, "0")).join("");

const since = (rows, fromMs) => rows.map(([onset, offset, ...rest]) => [Math.max(0, onset - fromMs), Math.max(0, offset - fromMs), ...rest]);

function restored(name) {
  try {
    const state = JSON.parse(localStorage.getItem(name));
    if (state?.notes?.length) return new Journal(state.kind, state, name);
  } catch {
    // not ours
  }
  localStorage.removeItem(name);
  return null;
}
