// The limiter, in the audio thread: the algorithm of preludio.render.limiter. No sample goes over the ceiling, and nothing is clipped:
// the gain goes down a few milliseconds before a peak and comes back slowly.
//
// Gains are worked out for hops of HOP frames and drawn as straight lines between them. At each border between two hops the gain is the
// mean of minima of windows that all hold both hops, so it is at most what either needs.

const HOP = 64; // frames
const AHEAD = 4; // hops: the output is late by so much, 6 ms
const CEILING_DB = -1;
const RELEASE_DB = 0.03; // a hop: 20 dB a second
const CHANNELS = 2;

class Limiter extends AudioWorkletProcessor {
  constructor() {
    super();
    this.needs = new Float64Array(2 * AHEAD + 1); // dB that each hop must be turned down by, the latest last
    this.late = Array.from({ length: AHEAD + 1 }, () => Array.from({ length: CHANNELS }, () => new Float32Array(HOP))); // hops, the latest last
  }

  process([input], [output]) {
    for (let begin = 0; begin < output[0].length; begin += HOP) {
      this.#take(input, begin);
      this.#give(output, begin);
    }
    return true;
  }

  #take(input, begin) {
    const hop = this.late.shift();
    this.late.push(hop);
    let peak = 0;
    hop.forEach((samples, channel) => {
      const source = input[channel] ?? input[0];
      for (let i = 0; i < HOP; i += 1) {
        samples[i] = source ? source[begin + i] : 0;
        peak = Math.max(peak, Math.abs(samples[i]));
      }
    });
    const before = this.needs.at(-1);
    this.needs.copyWithin(0, 1);
    this.needs[2 * AHEAD] = Math.min(0, CEILING_DB - 0.01 - 20 * Math.log10(Math.max(peak, 1e-9)), before + RELEASE_DB);
  }

  #give(output, begin) {
    const [left, right] = [this.#gainAt(0), this.#gainAt(1)];
    this.late[0].forEach((samples, channel) => {
      for (let i = 0; i < HOP; i += 1) output[channel][begin + i] = samples[i] * (left + ((right - left) * i) / HOP);
    });
  }

  /** At the border before (0) or after (1) the hop that is given out. */
  #gainAt(border) {
    let sum = 0;
    for (let window = border; window < border + AHEAD; window += 1) {
      let lowest = 0;
      for (let hop = window; hop <= window + AHEAD; hop += 1) lowest = Math.min(lowest, this.needs[hop]);
      sum += lowest;
    }
    return sum === 0 ? 1 : 10 ** (sum / AHEAD / 20);
  }
}

registerProcessor("limiter", Limiter);
