// Notes that were played, on their way to the store. What has not arrived lies in the browser's own storage, and is sent again.

import * as api from "./api.js";
import { banner, complain } from "./notices.js";

const NAME = "preludio.pending";
const RETRY_MS = 1000;
const AT_ONCE = 1000; // notes in one message

export class Journal {
  /** name: of its place in the browser's storage, one of its own for each: two tabs may be played in at once. */
  constructor(kind, state = {}, name = `${NAME}.${Date.now()}.${Math.random()}`) {
    this.state = { kind, piece: null, version: null, place: 0, fromMs: 0, notes: [], ...state };
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
        await this.#arrive(notes);
      } catch (error) {
        if (this.#failed(error, notes.length)) return;
        continue;
      }
      this.#ease();
      this.state.notes.splice(0, notes.length);
      this.#store();
    }
    if (wasLate && this.ended && this.state.piece) this.onarrived(this.state.piece);
  }

  async #arrive(rows) {
    const { state } = this;
    if (state.piece === null) {
      state.fromMs = state.place ? Math.min(...state.notes.map((row) => row[0])) : 0; // what is left of a piece that is gone begins at once
      const piece = await api.begin({ kind: state.kind, notes: since(rows, state.fromMs) });
      Object.assign(state, { piece: piece.id, version: piece.head, place: piece.version.n_notes });
      this.onpiece(piece);
    } else {
      state.place = (await api.addNotes(state.piece, { version: state.version, place: state.place, notes: since(rows, state.fromMs) })).n_notes;
    }
  }

  /** True if there is nothing to do now but to wait. */
  #failed(error, n) {
    const { state } = this;
    if (state.piece !== null && ["gone", "bad_value"].includes(error.code)) {
      state.piece = null; // deleted, or as long as a piece can be: what is left becomes a piece of its own
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
