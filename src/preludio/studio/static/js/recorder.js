// Recording what is played: a count-in, the notes as they come, a stop. Time 0 is the first key that is pressed.

import { Journal } from "./journal.js";
import { Metronome } from "./metronome.js";

const EARLY_MS = 150; // an upbeat that comes a little before the first beat counts
const SOON_MS = 60; // until the first beat, so that it sounds whole

export class Recorder extends EventTarget {
  constructor(hands, sampler, player) {
    super();
    Object.assign(this, { hands, player, sampler, on: false, originMs: null, timers: [], metronome: new Metronome(sampler) });
    hands.addEventListener("strike", ({ detail }) => this.#begun(detail.at));
    hands.addEventListener("note", ({ detail }) => this.#played(detail));
    addEventListener("pagehide", () => { if (this.on) this.#saveSounding(); });
  }

  /** Where recording is, in the piece. */
  get positionMs() {
    return this.originMs === null ? 0 : performance.now() - this.originMs;
  }

  /** Rows of what is held now, as they will be in the piece. */
  sounding(now) {
    if (!this.on || this.originMs === null) return [];
    return this.hands.sounding(now).filter(([onset]) => onset >= this.originMs).map((note) => this.#row(note)).map((row) => [...row, row[1], 0]);
  }

  /** bpm, beatsInBar; countIn: a bar of beats before; ticks: a metronome throughout. */
  async start({ bpm, beatsInBar, countIn, ticks }) {
    await this.sampler.wake();
    this.hands.letGo(); // what is held already was pressed before
    this.originMs = null;
    this.journal = new Journal("played");
    const beatMs = 60_000 / bpm;
    const startsAt = performance.now() + (countIn || ticks ? SOON_MS : 0);
    const counted = countIn ? beatsInBar : 0;
    this.beginsAt = startsAt + counted * beatMs;
    this.on = true;
    if (ticks || countIn) this.metronome.start({ bpm, beatsInBar, startsAt, beats: ticks ? Infinity : counted });
    for (let beat = 0; beat < counted; beat += 1) this.#later(startsAt + beat * beatMs, () => this.#tell(counted - beat));
    this.#later(this.beginsAt, () => this.#tell(0));
  }

  #later(at, run) {
    this.timers.push(setTimeout(run, at - performance.now()));
  }

  #tell(left) {
    this.dispatchEvent(new CustomEvent("count", { detail: left }));
  }

  #begun(at) {
    if (this.on && at >= this.beginsAt - EARLY_MS) this.originMs ??= at;
  }

  #row([onset, offset, pitch, velocity]) {
    const [from, to] = [Math.round(onset - this.originMs), Math.round(offset - this.originMs)];
    return [from, Math.max(to, from + 1), pitch, velocity];
  }

  #played(note) {
    if (!this.on || this.originMs === null || note[0] < this.originMs) return; // pressed during the count-in
    const row = this.#row(note);
    this.player.add([[...row, row[1], 0]]);
    this.journal.add([[...row, 0]]);
  }

  #saveSounding() {
    for (const note of this.hands.sounding()) this.#played(note);
  }

  /** Ends it; the piece's id, or null if nothing was played. */
  async stop() {
    this.hands.letGo();
    this.on = false;
    this.metronome.stop();
    this.timers.forEach(clearTimeout);
    this.timers = [];
    this.#tell(0);
    return this.journal.end();
  }
}
