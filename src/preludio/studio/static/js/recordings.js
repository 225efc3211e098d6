// The piano's recordings: fetched in the order in which they will sound, decoded, and as many held as memory should be used for.

export const LAYERS = [14, 40, 77, 124];
export const LOWEST = 21;
export const HIGHEST = 108;
const MOST_BYTES = 200e6; // of decoded recordings
const AT_ONCE = 4; // fetched side by side: a browser grants six connections, and the API needs some
const BACKGROUND = 1e6; // ranks: what sounds soon has its milliseconds, then come these, in order
const KEYS_UP = 2e6;
const MIDDLE = [60, 48, 72, 36, 84, 54, 66, 42, 78]; // far apart first, so that any note has a recording near it early
const RECORDED = Array.from({ length: 30 }, (_, place) => LOWEST + 3 * place);

export const recordedFor = (pitch) => LOWEST + 3 * Math.round((Math.min(HIGHEST, Math.max(LOWEST, pitch)) - LOWEST) / 3);
const keptSeconds = (pitch) => (pitch < 45 ? 10 : pitch < 60 ? 8 : pitch < 75 ? 6 : 4);
const bytesOf = (buffer) => 4 * buffer.length * buffer.numberOfChannels;
const distanceOf = (name, pitch, layer) => {
  const [key, strength] = name.split("-").map(Number);
  return Math.abs(key - pitch) + (strength === layer ? 0 : 4 + Math.abs(LAYERS.indexOf(strength) - LAYERS.indexOf(layer)));
};

export class Recordings {
  constructor(context) {
    this.context = context;
    this.buffers = new Map(); // "pitch-layer" -> AudioBuffer, in the order of their last use
    this.bytes = 0;
    this.keysUp = new Map(); // recorded key -> AudioBuffer of its way up
    this.loading = new Map(); // name -> { rank, run, promise, done }, waited for or being fetched
    this.running = 0;
    this.gains = null; // "pitch-layer" -> factor that makes all equally loud
  }

  /** table: of levels.json; masterDb: added to all. */
  level(table, masterDb) {
    this.gains = new Map();
    for (const layer of LAYERS) {
      table.pitches.forEach((pitch, place) => {
        const db = table.balance_db[place] + masterDb - table.layers_db[layer][place];
        this.gains.set(`${pitch}-${layer}`, 10 ** (db / 20));
      });
    }
  }

  /** Some of all registers, then the keys that come up: after whatever a piece asks for. Settled when all are there. */
  prepare() {
    const wanted = [77, 40].flatMap((layer) => MIDDLE.map((pitch) => [pitch, layer]));
    const loads = wanted.map(([pitch, layer], place) => this.load(pitch, layer, BACKGROUND + place));
    return Promise.all([...loads, ...RECORDED.map((pitch) => this.#loadKeyUp(pitch))]);
  }

  /** rank: what has the least is fetched next; in milliseconds until it sounds. */
  load(pitch, layer, rank = 0) {
    const name = `${pitch}-${layer}`;
    if (this.buffers.has(name)) return Promise.resolve();
    return this.#queue(name, rank, async () => {
      const buffer = await this.#decoded(pitch, layer);
      if (buffer) this.#hold(name, this.#shortened(buffer, pitch));
    });
  }

  #loadKeyUp(pitch) {
    if (this.keysUp.has(pitch)) return Promise.resolve();
    return this.#queue(`${pitch}-up`, KEYS_UP, async () => {
      const buffer = await this.#decoded(pitch, "release");
      if (buffer) this.keysUp.set(pitch, buffer);
    });
  }

  /** Whoever jumps elsewhere needs first what sounds there. */
  postpone() {
    for (const job of this.loading.values()) job.rank = Math.max(job.rank, BACKGROUND);
  }

  #queue(name, rank, run) {
    const known = this.loading.get(name);
    if (known) {
      known.rank = Math.min(known.rank, rank);
      return known.promise;
    }
    const job = { rank, run, ...Promise.withResolvers() };
    this.loading.set(name, job);
    this.#pump();
    return job.promise;
  }

  #pump() {
    while (this.running < AT_ONCE) {
      const waiting = [...this.loading].filter(([, job]) => job.run !== null);
      if (!waiting.length) return;
      const [name, job] = waiting.reduce((best, each) => (each[1].rank < best[1].rank ? each : best));
      const { run } = job;
      job.run = null;
      this.running += 1;
      run().finally(() => {
        this.running -= 1;
        this.loading.delete(name);
        job.resolve();
        this.#pump();
      });
    }
  }

  /** A recording; null if it cannot be had now. */
  async #decoded(pitch, layer) {
    const file = `/piano/${String(pitch).padStart(3, "0")}-${String(layer).padStart(3, "0")}.ogg`;
    try {
      const answer = await fetch(file);
      return answer.ok ? await this.context.decodeAudioData(await answer.arrayBuffer()) : null;
    } catch {
      return null; // offline for a moment: it is asked for again
    }
  }

  #hold(name, buffer) {
    this.buffers.set(name, buffer);
    this.bytes += bytesOf(buffer);
    for (const [oldest, old] of this.buffers) {
      if (this.bytes <= MOST_BYTES) break;
      this.buffers.delete(oldest);
      this.bytes -= bytesOf(old);
    }
  }

  /** The beginning, faded out: twelve seconds of each of 120 recordings would fill half a gigabyte. */
  #shortened(whole, pitch) {
    const frames = Math.round(keptSeconds(pitch) * whole.sampleRate);
    if (whole.length <= frames) return whole;
    const part = this.context.createBuffer(whole.numberOfChannels, frames, whole.sampleRate);
    const fade = Math.round(0.8 * whole.sampleRate);
    for (let channel = 0; channel < whole.numberOfChannels; channel += 1) {
      const samples = whole.getChannelData(channel).slice(0, frames);
      for (let i = 0; i < fade; i += 1) samples[frames - 1 - i] *= i / fade;
      part.copyToChannel(samples, channel);
    }
    return part;
  }

  /** The recording asked for, or the nearest that is there: [buffer, its key, its gain]. */
  nearest(pitch, layer) {
    let [best, least] = [null, Infinity];
    for (const name of this.buffers.keys()) {
      const distance = distanceOf(name, pitch, layer);
      if (distance < least) [least, best] = [distance, name];
    }
    if (best === null) return null;
    const buffer = this.buffers.get(best);
    this.buffers.delete(best);
    this.buffers.set(best, buffer); // now the last used
    return [buffer, Number(best.split("-")[0]), this.gains?.get(best) ?? 1];
  }

  keyUp(pitch) {
    return this.keysUp.get(recordedFor(pitch));
  }
}
