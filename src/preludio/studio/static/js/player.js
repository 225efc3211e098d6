// The transport. Each note's time is worked out from the audio clock anew, so nothing drifts; a little is scheduled ahead.

const AHEAD_SECONDS = 0.16;
const AHEAD_HIDDEN_SECONDS = 1.5;
const LATE_MS = 120; // a note that arrives later than this is not begun: it would limp
const STALL_MS = 700; // how near the end of what is composed playing waits
const RESUME_MS = 2500;

export class Player extends EventTarget {
  constructor(sampler) {
    super();
    this.sampler = sampler;
    this.notes = []; // [onset, offset, pitch, velocity, until, part], by onset
    this.endMs = 0;
    this.frontierMs = Infinity; // up to here all is composed; Infinity when nothing is being composed
    this.speed = 1;
    this.loop = false;
    this.playing = false;
    this.stalled = false;
    this.anchor = { ms: 0, seconds: 0 };
    this.next = 0;
    this.bus = null;
    this.voices = new Map(); // note -> voice
    this.worker = new Worker("/static/js/ticker.js");
    this.worker.onmessage = () => this.#tick();
  }

  /** Seconds on the clock that the music runs by: the audio clock, or, where there is no sound, the page's. */
  get seconds() {
    const { context } = this.sampler;
    return context && !this.deaf ? context.currentTime : performance.now() / 1000;
  }

  get positionMs() {
    if (!this.playing || this.stalled) return this.anchor.ms;
    return Math.min(this.anchor.ms + Math.max(0, this.seconds - this.anchor.seconds) * 1000 * this.speed, Math.max(this.endMs, this.anchor.ms));
  }

  set(notes, endMs = 0) {
    this.notes = notes.toSorted((a, b) => a[0] - b[0] || a[2] - b[2]);
    this.endMs = Math.max(endMs, ...[0], this.notes.reduce((end, note) => Math.max(end, note[4]), 0));
    this.#aim();
  }

  /** Notes that have just been composed or played, anywhere. */
  add(notes) {
    const position = this.positionMs;
    for (const note of notes) {
      const place = this.#placeOf(note[0], note[2]);
      this.notes.splice(place, 0, note);
      this.endMs = Math.max(this.endMs, note[4]);
      this.sampler.want(note[2], note[3]);
      if (place < this.next) {
        this.next += 1;
        if (this.playing && !this.stalled && note[0] >= position - LATE_MS) this.#schedule(note);
      }
    }
  }

  #placeOf(onset, pitch = -1) {
    let [low, high] = [0, this.notes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const note = this.notes[middle];
      if (note[0] < onset || (note[0] === onset && note[2] < pitch)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async play(fromMs = this.positionMs) {
    await this.sampler.wake();
    if (fromMs >= this.endMs - 20 && this.frontierMs === Infinity) fromMs = 0;
    this.#stopSound();
    this.playing = true;
    this.stalled = false;
    this.#begin(fromMs);
    this.#watchClock();
    this.#changed();
  }

  pause() {
    if (!this.playing) return;
    const at = this.positionMs;
    this.playing = false;
    this.stalled = false;
    this.anchor = { ms: at, seconds: 0 };
    this.#stopSound();
    this.#changed();
  }

  seek(ms) {
    const at = Math.min(Math.max(0, ms), Math.max(this.endMs, 0));
    this.#stopSound();
    if (this.playing) this.#begin(at);
    else {
      this.anchor = { ms: at, seconds: 0 };
      this.#aim();
    }
    this.#changed();
  }

  setSpeed(speed) {
    const at = this.positionMs;
    if (this.playing && !this.stalled) this.#stopSound();
    this.speed = speed;
    if (this.playing && !this.stalled) this.#begin(at);
  }

  /** What sounds at a moment. */
  active(ms) {
    const sounding = [];
    for (let place = this.#placeOf(ms + 1) - 1; place >= 0 && this.notes[place][0] > ms - 20_000; place -= 1) {
      if (this.notes[place][4] > ms) sounding.push(this.notes[place]);
    }
    return sounding;
  }

  #begin(ms) {
    this.bus = this.sampler.silent ? null : this.sampler.bus();
    this.anchor = { ms, seconds: this.seconds + (this.sampler.silent ? 0 : 0.03) };
    this.#aim();
    for (const note of this.active(ms)) {
      // What is held here is struck anew, so that a jump lands in the middle of the harmony and not in a hole.
      if (note[0] < ms && note[4] - ms > 250) this.#schedule(note, ms);
    }
    this.#tick();
  }

  #aim() {
    this.next = this.#placeOf(this.anchor.ms);
  }

  #when(ms) {
    return this.anchor.seconds + (ms - this.anchor.ms) / 1000 / this.speed;
  }

  #schedule(note, fromMs = note[0]) {
    const [, , pitch, velocity, until] = note;
    const seconds = Math.max(0.02, (until - fromMs) / 1000 / this.speed);
    if (this.bus) this.sampler.strike(pitch, velocity, this.#when(fromMs), seconds, this.bus);
  }

  #tick() {
    if (!this.playing) return;
    const position = this.positionMs;
    if (this.stalled) {
      if (this.frontierMs - position > RESUME_MS || this.frontierMs === Infinity) this.#resume();
      return;
    }
    if (position > this.frontierMs - STALL_MS) {
      this.anchor = { ms: position, seconds: 0 };
      this.stalled = true;
      this.#stopSound();
      this.#changed();
      return;
    }
    const ahead = (document.hidden ? AHEAD_HIDDEN_SECONDS : AHEAD_SECONDS) * 1000 * this.speed;
    while (this.next < this.notes.length && this.notes[this.next][0] < position + ahead) {
      this.#schedule(this.notes[this.next]);
      this.next += 1;
    }
    for (let place = this.next; place < this.notes.length && this.notes[place][0] < position + 8000; place += 1) this.sampler.want(this.notes[place][2], this.notes[place][3]);
    if (position >= this.endMs && this.frontierMs === Infinity) this.#ended();
  }

  #resume() {
    this.stalled = false;
    this.#begin(this.anchor.ms);
    this.#changed();
  }

  #ended() {
    if (this.loop && this.endMs > 0) {
      this.#stopSound();
      this.#begin(0);
      return;
    }
    this.playing = false;
    this.anchor = { ms: this.endMs, seconds: 0 };
    this.bus = null; // what still rings may ring out
    this.#changed();
  }

  #stopSound() {
    if (this.bus) this.sampler.hush(this.bus);
    this.bus = null;
  }

  /** A browser that grants an audio clock that never moves has no sound; the picture goes on by the page's clock. */
  #watchClock() {
    const { context } = this.sampler;
    if (!context || this.deaf) return;
    const before = context.currentTime;
    setTimeout(() => {
      if (!this.playing || context.currentTime > before) return;
      const at = this.anchor.ms;
      this.deaf = true;
      this.#begin(at);
      this.dispatchEvent(new Event("deaf"));
    }, 1500);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
