// A piece that is open in another window too: what happens to it there is seen here.
//
// Windows of one browser tell each other at once; what others change (another browser, a script) is found by asking now and then.

import * as api from "./api.js";
import { complain, notify } from "./notices.js";
import { t } from "./i18n.js";

const ASK_MS = 10_000;

export class LiveUpdates {
  constructor(studio) {
    Object.assign(this, { studio, abort: null, doneMs: 0, done: null, missed: false });
    this.windows = new BroadcastChannel("preludio");
    this.windows.onmessage = ({ data }) => this.#told(data);
    addEventListener("piece-touched", ({ detail }) => this.windows.postMessage(detail));
    addEventListener("focus", () => this.look());
    studio.player.addEventListener("change", () => { if (this.missed && !this.#engaged) this.look(); });
    setInterval(() => { if (!document.hidden && !studio.lost) this.look(); }, ASK_MS);
  }

  get on() {
    return this.abort !== null;
  }

  #told(piece) {
    this.studio.library.refresh();
    if (piece === this.studio.piece?.id) this.look();
  }

  /** Nobody is disturbed while they listen, play or compose: what was missed is looked at afterwards. */
  get #engaged() {
    const { studio } = this;
    return studio.busy || studio.stepping || studio.player.playing || this.on;
  }

  /** Is the piece still as it is shown here? */
  async look() {
    const { studio } = this;
    const { piece } = studio;
    this.missed = piece !== null && this.#engaged;
    try {
      if (piece === null || this.#engaged) await api.state(); // at least whether the studio is there
      else this.#compare(piece, await api.status(piece.id));
    } catch (error) {
      complain(error);
      if (error.code === "gone" && studio.piece?.id === piece?.id) studio.lose();
    }
  }

  #compare(piece, now) {
    const { studio } = this;
    this.missed = this.#engaged; // by now
    if (this.missed || studio.piece?.etag !== piece.etag || studio.piece.id !== piece.id) return; // it went on meanwhile
    if (now.composing) this.follow();
    else if (now.etag !== piece.etag || now.n_notes !== piece.n_notes) this.refresh();
    else if (now.title !== piece.title || now.starred !== piece.starred) studio.showDetails(now);
  }

  /** What the store has now; told if another window has gone elsewhere. */
  async refresh() {
    if (await this.studio.refresh()) notify(t("changedElsewhere"));
  }

  /** Looks on while another window composes in this piece. */
  async follow() {
    const { studio } = this;
    const abort = new AbortController();
    this.stop();
    this.abort = abort;
    this.doneMs = studio.player.endMs;
    studio.showDetails(null); // what cannot be pressed meanwhile
    try {
      for await (const event of api.follow(studio.piece.id, abort.signal)) {
        if (this.abort !== abort) return;
        this.#on(event);
      }
    } catch (error) {
      if (this.abort === abort) complain(error);
    }
    if (this.abort === abort) this.#ended();
  }

  stop() {
    this.abort?.abort();
    this.abort = null;
  }

  /** Ends what is composed in the piece that is shown, whoever asked for it. */
  async halt() {
    try {
      await api.stop(this.studio.piece.id);
    } catch (error) {
      complain(error);
    }
  }

  #ended() {
    this.abort = null;
    this.studio.player.frontierMs = Infinity;
    if (!this.studio.lost) this.refresh();
  }

  #on(event) {
    const { studio } = this;
    if (event.event === "piece") this.#show(event);
    else if (event.event === "notes") {
      this.#add(event.takes);
      this.doneMs = this.fromMs + event.seconds * 1000;
      this.done = this.seconds ? event.seconds / this.seconds : null;
      studio.player.frontierMs = this.doneMs;
    } else if (event.event === "done") studio.showDetails(event.piece);
  }

  #show({ piece, takes }) {
    const { studio } = this;
    const rows = takes.length ? takes.flatMap((take) => take.notes) : piece.version.notes;
    const version = takes[0] ?? piece.version;
    this.fromMs = version.from_ms;
    this.seconds = version.options?.seconds;
    this.done = null;
    this.seen = takes.length ? takes.map((take) => new Set(take.notes.map(String))) : [new Set(rows.map(String))];
    studio.show(piece, { keepPlace: true });
    if (takes.length) {
      studio.takes.from = this.fromMs;
      studio.takes.show(piece.choosing, [], version.prompt_ms);
      takes.forEach((take, number) => studio.takes.add(number, take.notes));
      studio.showDetails(null);
    }
    this.doneMs = studio.player.frontierMs = rows.reduce((end, note) => Math.max(end, note[0]), this.fromMs);
  }

  /** Some of it may have been in the piece already. */
  #add(takes) {
    for (const [take, rows] of Object.entries(takes)) {
      const fresh = rows.filter((row) => !this.seen[take].has(String(row)));
      if (this.studio.takes.open) this.studio.takes.add(Number(take), fresh);
      else this.studio.player.add(fresh);
    }
  }
}
