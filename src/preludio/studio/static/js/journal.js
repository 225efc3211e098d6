// Notes that were played, on their way to the store. What has not arrived lies in the browser's own storage, and is sent again.

import * as api from "./api.js";

const NAME = "preludio.pending";
const RETRY_MS = 1000;

export class Journal {
  constructor(kind, state = {}) {
    this.state = { kind, piece: null, version: null, place: 0, notes: [], ...state };
    this.sending = null;
    this.onpiece = () => {};
  }

  /** What a page before this one could not send; null if there is nothing. */
  static left() {
    try {
      const state = JSON.parse(localStorage.getItem(NAME));
      return state?.notes?.length ? new Journal(state.kind, state) : null;
    } catch {
      return null;
    }
  }

  /** Rows of onset_ms, offset_ms, pitch, velocity, part. */
  add(rows) {
    this.state.notes.push(...rows.map((row) => row.map(Math.round)));
    this.#store();
    this.#send();
  }

  #store() {
    if (this.state.notes.length) localStorage.setItem(NAME, JSON.stringify(this.state));
    else localStorage.removeItem(NAME);
  }

  /** Once all has arrived: the piece, or null if nothing was played. */
  async end() {
    while (this.state.notes.length) {
      await this.#send();
      if (this.state.notes.length) await new Promise((done) => setTimeout(done, RETRY_MS));
    }
    return this.state.piece;
  }

  #send() {
    this.sending ??= this.#sent().finally(() => { this.sending = null; });
    return this.sending;
  }

  async #sent() {
    const { state } = this;
    while (state.notes.length) {
      const notes = state.notes.slice(0, 1000);
      try {
        if (state.piece === null) await this.#begin(notes);
        else state.place = (await api.addNotes(state.piece, { version: state.version, place: state.place, notes })).n_notes;
      } catch (error) {
        if (error.code === "offline") {
          dispatchEvent(new Event("offline-studio"));
          setTimeout(() => this.#send(), RETRY_MS);
        } else {
          state.piece = null; // gone, or never to be had: what is left becomes a piece of its own
          if (error.code === "bad_value") state.notes.splice(0, notes.length);
          this.#store();
        }
        return;
      }
      state.notes.splice(0, notes.length);
      this.#store();
    }
  }

  async #begin(notes) {
    const piece = await api.begin({ kind: this.state.kind, notes });
    Object.assign(this.state, { piece: piece.id, version: piece.head, place: piece.version.n_notes });
    this.onpiece(piece);
  }
}
