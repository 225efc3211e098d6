// A metronome on the audio clock: beats are counted from one moment, so it never drifts.

const AHEAD_MS = 150;
const WAKE_MS = 40;

export class Metronome extends EventTarget {
  constructor(sampler) {
    super();
    this.sampler = sampler;
    this.timer = null;
  }

  get on() {
    return this.timer !== null;
  }

  /** Ticks from `startsAt` (by the page's clock, in milliseconds), the first beat of each bar stronger; `beats` of them, then none. */
  start({ bpm, beatsInBar, startsAt, beats = Infinity }) {
    this.stop();
    this.beat = 0;
    this.timer = setInterval(() => this.#ahead({ beatMs: 60_000 / bpm, beatsInBar, startsAt, beats }), WAKE_MS);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
  }

  #ahead({ beatMs, beatsInBar, startsAt, beats }) {
    const now = performance.now();
    for (; this.beat < beats && startsAt + this.beat * beatMs < now + AHEAD_MS; this.beat += 1) {
      const inMs = startsAt + this.beat * beatMs - now;
      if (inMs < -AHEAD_MS) continue; // the page was busy: a late tick would be a wrong one
      this.#tick(Math.max(0, inMs), this.beat % beatsInBar === 0);
    }
    if (this.beat >= beats) this.stop();
  }

  #tick(inMs, strong) {
    if (!this.sampler.silent) this.sampler.tick(this.sampler.context.currentTime + inMs / 1000, strong);
    setTimeout(() => this.dispatchEvent(new CustomEvent("beat", { detail: { strong } })), inMs);
  }
}
