// Recording what is played: a count-in, the notes as they come, a stop.

import { Journal } from "./journal.js";

const BEATS = 4;
const EARLY_MS = 150; // an upbeat that comes a little before the first beat counts

export class Recorder extends EventTarget {
  constructor(hands, sampler, player) {
    super();
    Object.assign(this, { hands, sampler, player, on: false, originMs: null, timers: [] });
    hands.addEventListener("note", ({ detail }) => this.#heard(detail));
    addEventListener("pagehide", () => { if (this.on) this.#saveSounding(); });
  }

  /** Where recording is, in the piece. */
  get positionMs() {
    return this.originMs === null ? 0 : performance.now() - this.originMs;
  }

  async start(bpm, countIn) {
    await this.sampler.wake();
    this.on = true;
    this.originMs = null;
    this.journal = new Journal("played");
    const beatMs = 60_000 / bpm;
    this.beginsAt = performance.now() + (countIn ? BEATS * beatMs : 0);
    if (countIn) this.#count(beatMs);
    else this.#begins();
  }

  #count(beatMs) {
    const start = this.sampler.silent ? 0 : this.sampler.context.currentTime + 0.05;
    for (let beat = 0; beat < BEATS; beat += 1) {
      this.sampler.tick(start + (beat * beatMs) / 1000, beat === 0);
      this.timers.push(setTimeout(() => this.dispatchEvent(new CustomEvent("count", { detail: BEATS - beat })), beat * beatMs + 50));
    }
    this.timers.push(setTimeout(() => this.#begins(), BEATS * beatMs));
  }

  #begins() {
    this.dispatchEvent(new CustomEvent("count", { detail: 0 }));
  }

  #heard([onset, offset, pitch, velocity]) {
    if (!this.on || onset < this.beginsAt - EARLY_MS) return;
    this.originMs ??= onset;
    const row = [Math.max(0, onset - this.originMs), offset - this.originMs, pitch, velocity].map(Math.round);
    this.player.add([[...row, row[1], 0]]);
    this.journal.add([[...row, 0]]);
  }

  #saveSounding() {
    for (const note of this.hands.sounding()) this.#heard(note);
  }

  /** Ends it; the piece's id, or null if nothing was played. */
  async stop() {
    this.hands.letGo();
    this.on = false;
    this.timers.forEach(clearTimeout);
    this.timers = [];
    this.dispatchEvent(new CustomEvent("count", { detail: 0 }));
    return this.journal.end();
  }
}
