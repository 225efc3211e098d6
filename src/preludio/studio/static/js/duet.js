// Call and answer. When the hands rest, an answer is composed at once and begins after a breath; the next key ends it.
//
// A rest is when no key sounds. Whoever plays detached rests between any two notes, so the breath learns: an answer that was
// interrupted in its first moments came too early, and the next waits longer; one that was heard makes the breath short again.

import * as api from "./api.js";
import { Journal } from "./journal.js";
import { wish } from "./shape.js";

const BREATH_MS = 160; // the shortest
const LONGEST_BREATH_MS = 900;
const TOO_EARLY_MS = 450; // an answer interrupted so soon was not wanted
const CONTEXT_NOTES = 160; // what the model hears of the conversation
const ANSWER_SECONDS = 14;
const AHEAD_MS = 60;
const SETTLED_MS = 45; // keys that are let go one by one rest between; only a longer rest is worth a question
const LATE_MS = 150; // a note that arrives later than this would limp

export class Duet extends EventTarget {
  constructor(hands, sampler, player) {
    super();
    Object.assign(this, { hands, sampler, player, on: false, state: "off", breathMs: BREATH_MS, latencies: [] });
    hands.addEventListener("strike", ({ detail }) => this.#struck(detail));
    hands.addEventListener("note", ({ detail }) => this.#played(detail));
    hands.addEventListener("rest", ({ detail }) => this.#rested(detail));
    addEventListener("pagehide", () => { if (this.on) this.#saveSounding(); });
  }

  get positionMs() {
    return this.originMs === null ? 0 : performance.now() - this.originMs;
  }

  /** model: the name of the one that answers; null for the studio's choice. */
  async start(model) {
    this.model = model;
    await this.sampler.wake();
    Object.assign(this, { on: true, originMs: null, said: [], answer: null });
    this.journal = new Journal("duet", { model });
    this.timer = setInterval(() => this.#tick(), 15);
    this.#turn("listening");
  }

  /** Ends it; the piece's id, or null if nothing was played. */
  async stop() {
    this.hands.letGo();
    this.#cut(performance.now());
    this.on = false;
    clearInterval(this.timer);
    this.#turn("off");
    return this.journal.end();
  }

  #turn(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event("turn"));
  }

  #struck({ at }) {
    if (!this.on) return;
    this.originMs ??= at;
    if (this.answer) {
      const begun = this.answer.beganAt;
      if (begun !== null && at - begun < TOO_EARLY_MS) this.breathMs = Math.min(LONGEST_BREATH_MS, at - this.answer.restedAt + 120);
      else if (begun !== null) this.breathMs = BREATH_MS;
      this.#cut(at);
    }
    this.#turn("listening");
  }

  #played([onset, offset, pitch, velocity]) {
    if (!this.on || this.originMs === null) return;
    this.#say([Math.max(0, onset - this.originMs), offset - this.originMs, pitch, velocity], 0);
    this.player.add([this.#row(this.said.at(-1))]);
  }

  #row([onset, offset, pitch, velocity, part]) {
    return [onset, offset, pitch, velocity, offset, part];
  }

  #say(note, part) {
    const row = [...note.map(Math.round), part];
    row[1] = Math.max(row[0] + 10, row[1]);
    this.said.push(row);
    this.journal.add([row]);
  }

  #rested({ at }) {
    if (!this.on || !this.said.length) return;
    this.#cut(at);
    const answer = { restedAt: at, beganAt: null, notes: [], sounding: [], shiftMs: null, done: false, abort: new AbortController(), bus: this.sampler.silent ? null : this.sampler.bus() };
    this.answer = answer;
    setTimeout(() => { if (this.answer === answer) this.#ask(answer); }, SETTLED_MS);
  }

  async #ask(answer) {
    const heard = this.said.slice(-CONTEXT_NOTES);
    const firstMs = Math.min(...heard.map((row) => row[0]));
    const notes = heard.map(([onset, offset, ...rest]) => [onset - firstMs, offset - firstMs, ...rest]);
    try {
      const { temperature, top_p, min_p } = wish();
      for await (const event of api.answer({ notes, seconds: ANSWER_SECONDS, temperature, top_p, min_p, seed: null, model: this.model }, answer.abort.signal)) {
        if (event.event === "notes") for (const row of event.notes) { answer.notes.push(row); this.sampler.want(row[2], row[3]); }
        else if (event.event === "error") throw new api.ApiError(event.code, event.message);
      }
    } catch (error) {
      if (error.name !== "AbortError") this.dispatchEvent(new CustomEvent("fault", { detail: error }));
    }
    answer.notes.sort((a, b) => a[0] - b[0]);
    answer.done = true;
  }

  /** Plays what is due of the answer. */
  #tick() {
    const { answer } = this;
    if (!answer) return;
    const now = performance.now();
    if (answer.shiftMs === null) {
      if (!answer.notes.length || now < answer.restedAt + this.breathMs - AHEAD_MS) return;
      const begin = Math.max(now + 5, answer.restedAt + this.breathMs);
      answer.shiftMs = begin - Math.min(...answer.notes.map((note) => note[0])); // the model's own pause is ours to choose
      answer.beganAt = begin;
      this.latencies.push(begin - answer.restedAt);
      this.#turn("answering");
    }
    this.#strikeDue(answer, now);
    this.#endDue(answer, now);
    if (answer.done && !answer.notes.length && !answer.sounding.length) {
      this.answer = null;
      this.breathMs = BREATH_MS;
      this.#turn("listening");
    }
  }

  #strikeDue(answer, now) {
    const due = answer.notes.filter((note) => note[0] + answer.shiftMs < now + AHEAD_MS);
    if (!due.length) return;
    answer.notes = answer.notes.filter((note) => !due.includes(note));
    for (const [onset, offset, pitch, velocity] of due) {
      if (onset + answer.shiftMs < now - LATE_MS) continue;
      const [at, until] = [onset + answer.shiftMs, offset + answer.shiftMs];
      if (answer.bus) this.#sound(pitch, velocity, Math.max(0, at - now) / 1000, (until - at) / 1000, answer.bus);
      const row = [at - this.originMs, until - this.originMs, pitch, velocity];
      answer.sounding.push(row);
      this.player.add([this.#row([...row, 1])]);
    }
  }

  #sound(pitch, velocity, inSeconds, seconds, bus) {
    const at = this.sampler.context.currentTime + inSeconds;
    const voice = this.sampler.strike(pitch, velocity, at, bus);
    this.sampler.release(voice, at + seconds);
    this.sampler.lift(voice, at + seconds);
  }

  #endDue(answer, now) {
    const ended = answer.sounding.filter((row) => row[1] + this.originMs <= now);
    if (!ended.length) return;
    answer.sounding = answer.sounding.filter((row) => !ended.includes(row));
    for (const row of ended) this.#say(row, 1);
  }

  /** The answer ends here: what sounds is heard to this moment, what was to come never was. */
  #cut(at) {
    const { answer } = this;
    if (!answer) return;
    this.answer = null;
    answer.abort.abort();
    if (answer.bus) this.sampler.hush(answer.bus);
    const hereMs = at - this.originMs;
    for (const row of answer.sounding) this.#say([Math.min(row[0], hereMs), Math.min(row[1], hereMs), row[2], row[3]], 1);
    if (answer.sounding.length) {
      for (const note of this.player.notes) if (note[5] === 1 && note[1] > hereMs) note[1] = note[4] = Math.max(note[0] + 10, hereMs);
    }
  }

  #saveSounding() {
    const now = performance.now();
    for (const note of this.hands.sounding(now)) this.#played(note);
    this.#cut(now);
  }
}
