// The transport. Each note's time is worked out from the audio clock anew, so nothing drifts; a little is scheduled ahead.

const AHEAD_SECONDS = 0.3; // a busy page may be late by so much
const AHEAD_HIDDEN_SECONDS = 1.5;
const LATE_MS = 120; // a note that arrives later than this is not begun: it would limp
const STALL_MS = 700; // how near the end of what is composed playing waits
const RESUME_MS = 2500;
const LEAST_ROUND_MS = 250; // what is played round and round
const HELD_MS = 250; // a note that is held on for less is not struck anew at a jump

export class Player extends EventTarget {
  constructor(sampler) {
    super();
    this.sampler = sampler;
    this.notes = []; // [onset, offset, pitch, velocity, until, part], by onset
    this.endMs = 0;
    this.frontierMs = Infinity; // up to here all is composed; Infinity when nothing is being composed
    this.speed = 1;
    this.loop = false;
    this.region = null; // what is looped: { from, to } in milliseconds, to Infinity for the end; null for the whole piece
    this.playing = false;
    this.starting = null; // a token, while the first recordings are waited for
    this.stalled = false;
    this.anchor = { ms: 0, seconds: 0 }; // a moment of the music and of the clock: what is scheduled next is reckoned from it
    this.rounds = []; // the anchors of what is heard now and scheduled: of a loop whose jump lies ahead there are two
    this.next = 0;
    this.bus = null;
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
    const now = this.seconds;
    const { ms, seconds } = this.rounds.findLast((anchor) => anchor.seconds <= now) ?? this.rounds[0];
    return Math.min(ms + Math.max(0, now - seconds) * 1000 * this.speed, Math.max(this.endMs, ms));
  }

  set(notes, endMs = 0) {
    this.notes = notes.toSorted((a, b) => a[0] - b[0] || a[2] - b[2]);
    this.endMs = Math.max(endMs, ...[0], this.notes.reduce((end, note) => Math.max(end, note[4]), 0));
    if (this.region?.from > this.endMs - LEAST_ROUND_MS) this.region = null;
    this.#aim();
    this.#wantSoon(this.anchor.ms); // should somebody press Play
  }

  /** What is looped; a region that is too short for it is none. */
  setRegion(region) {
    const long = region !== null && Math.min(region.to, this.endMs) - region.from >= LEAST_ROUND_MS;
    this.region = long ? region : null;
    this.#anchorHere();
    this.#changed();
  }

  setLoop(on) {
    this.loop = on;
    this.#anchorHere();
    this.#changed();
  }

  /** Whoever is past the loop's end when it is chosen plays on to the end of the piece. */
  #anchorHere() {
    if (!this.playing || this.stalled || this.rounds.length > 1) return;
    const seconds = Math.max(this.seconds, this.anchor.seconds);
    this.anchor = { ms: this.anchor.ms + (seconds - this.anchor.seconds) * 1000 * this.speed, seconds };
    this.rounds = [this.anchor];
  }

  /** Notes that have just been composed or played, anywhere. */
  add(notes) {
    for (const note of notes) {
      const place = this.placeOf(note[0], note[2]);
      this.notes.splice(place, 0, note);
      this.endMs = Math.max(this.endMs, note[4]);
      this.sampler.want(note[2], note[3], note[0] - this.anchor.ms);
      if (place < this.next) {
        this.next += 1;
        if (this.playing && !this.stalled) this.#schedule(note);
      }
    }
  }

  /** Where the first note is that begins at a moment or after it. */
  placeOf(onset, pitch = -1) {
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
    const starting = Symbol("starting");
    this.starting = starting;
    await this.sampler.wake();
    if (!this.playing) await this.sampler.wantFirst(this.#soonest(fromMs));
    if (this.starting !== starting) return; // paused meanwhile, or begun elsewhere
    this.starting = null;
    if (fromMs >= this.endMs - 20 && this.frontierMs === Infinity) fromMs = this.loop ? this.region?.from ?? 0 : 0;
    this.#stopSound();
    this.playing = true;
    this.stalled = false;
    this.#begin(fromMs);
    this.#watchClock();
    this.#changed();
  }

  /** What sounds first from a moment on: what is held there, then what begins. */
  #soonest(ms) {
    const place = this.placeOf(ms);
    return [...this.active(ms).filter((note) => note[0] < ms).map((note) => [ms, ...note.slice(1)]), ...this.notes.slice(place, place + 12)];
  }

  pause() {
    this.starting = null;
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
    if (this.playing) {
      this.stalled = false;
      this.#begin(at);
    } else {
      this.anchor = { ms: at, seconds: 0 };
      this.#aim();
      if (this.starting) this.play(at);
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
    for (let place = this.placeOf(ms + 1) - 1; place >= 0 && this.notes[place][0] > ms - 20_000; place -= 1) {
      if (this.notes[place][4] > ms) sounding.push(this.notes[place]);
    }
    return sounding;
  }

  #begin(ms) {
    this.bus = this.sampler.silent ? null : this.sampler.bus();
    this.rounds = [];
    this.#land(ms, this.seconds + (this.sampler.silent ? 0 : 0.03));
    this.#tick();
  }

  /** From a moment of the clock on, the music goes on from another of its own. */
  #land(ms, seconds) {
    this.anchor = { ms, seconds };
    this.rounds.push(this.anchor);
    this.#aim();
    for (const note of this.active(ms)) {
      // What is held here is struck anew, so that a jump lands in the middle of the harmony and not in a hole.
      if (note[0] < ms && note[4] - ms > HELD_MS) this.#schedule(note, ms);
    }
  }

  /** Where the loop begins and where it jumps back; null if it does not. */
  #round() {
    if (!this.loop) return null;
    const from = this.region?.from ?? 0;
    const end = Math.min(this.region?.to ?? Infinity, this.endMs);
    const to = this.anchor.ms < end ? end : this.endMs; // a seek past the region's end plays to the end of the piece
    const isComposed = this.frontierMs === Infinity || to < Math.min(this.frontierMs, this.endMs);
    return isComposed && end - from >= LEAST_ROUND_MS ? { from, to } : null;
  }

  #aim() {
    this.next = this.placeOf(this.anchor.ms);
  }

  #when(ms) {
    return this.anchor.seconds + (ms - this.anchor.ms) / 1000 / this.speed;
  }

  #schedule(note, fromMs = note[0]) {
    const when = this.#when(fromMs);
    if (!this.bus || when < this.seconds - LATE_MS / 1000) return;
    const [, offset, pitch, velocity, until] = note;
    const voice = this.sampler.strike(pitch, velocity, when, this.bus);
    this.sampler.release(voice, this.#when(until));
    if (offset > fromMs) this.sampler.lift(voice, this.#when(offset));
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
    this.#scheduleAhead();
    this.#wantSoon(position);
    if (position >= this.endMs && this.frontierMs === Infinity) this.#ended();
  }

  /** All that begins soon, round the loop too. */
  #scheduleAhead() {
    const now = this.seconds;
    const horizon = now + (document.hidden ? AHEAD_HIDDEN_SECONDS : AHEAD_SECONDS);
    while (this.rounds.length > 1 && this.rounds[1].seconds <= now) this.rounds.shift();
    for (;;) {
      const round = this.#round();
      const limit = round?.to ?? Infinity;
      while (this.next < this.notes.length && this.notes[this.next][0] < limit && this.#when(this.notes[this.next][0]) < horizon) {
        this.#schedule(this.notes[this.next]);
        this.next += 1;
      }
      if (this.#when(limit) >= horizon) return;
      this.#jump(round);
    }
  }

  /** Back to the loop's beginning, at the very moment where its end is. */
  #jump({ from, to }) {
    const at = this.#when(to);
    if (this.bus) this.sampler.cut(this.bus, at);
    this.#land(from, at);
  }

  /** The recordings of what comes next. */
  #wantSoon(position) {
    for (let place = this.next; place < this.notes.length && this.notes[place][0] < position + 8000; place += 1) this.sampler.want(this.notes[place][2], this.notes[place][3], this.notes[place][0] - position);
  }

  #resume() {
    this.stalled = false;
    this.#begin(this.anchor.ms);
    this.#changed();
  }

  #ended() {
    this.playing = false;
    this.anchor = { ms: this.endMs, seconds: 0 };
    if (this.bus) this.sampler.retire(this.bus);
    this.bus = null;
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
