// The piano: recordings of a grand at four strengths, every third key, laid over one another (as preludio.render does it).

const LAYERS = [14, 40, 77, 124];
const LOWEST = 21;
const HIGHEST = 108;
const FIRST_UNDAMPED = 90; // a grand has no dampers from about here up
const MASTER_DB = -5; // below the written sound: the limiter of a browser is coarser
const MOST_BUFFERS = 84; // decoded recordings kept, about 160 MB
const MOST_VOICES = 90;
const RANGE_DB = 40;
const RECORDED = Array.from({ length: 30 }, (_, place) => LOWEST + 3 * place);
const NOISE_GAIN = 0.008 * 10 ** ((MASTER_DB - 2) / 20); // of a key that comes up: as far under the strings as in the written sound
const MOST_NOISES = 24; // at about one time: in such a crowd nobody hears one more
const NOISE_SECONDS = 0.4;

/** The key of a piano that plays a MIDI pitch: beyond the ends of the keyboard, the same tone some octaves inside. */
const keyOf = (pitch) => (pitch > HIGHEST ? pitch - 12 * Math.ceil((pitch - HIGHEST) / 12) : pitch < LOWEST ? pitch + 12 * Math.ceil((LOWEST - pitch) / 12) : pitch);
const recordedFor = (pitch) => LOWEST + 3 * Math.round((Math.min(HIGHEST, Math.max(LOWEST, pitch)) - LOWEST) / 3);
const keptSeconds = (pitch) => (pitch < 45 ? 10 : pitch < 60 ? 8 : pitch < 75 ? 6 : 4);
export const damperSeconds = (pitch) => 0.06 * 2 ** ((60 - pitch) / 36);

/** How strongly a velocity sounds: the square law of Dannenberg (2006). */
export function amplitude(velocity) {
  const root = 10 ** (-RANGE_DB / 40);
  const offset = (127 * root - 1) / 126;
  return (((1 - offset) / 127) * velocity + offset) ** 2;
}

/** One or two strengths and each one's share. */
function mixOf(velocity) {
  const upper = LAYERS.findIndex((layer) => layer >= velocity);
  if (upper === 0) return [[LAYERS[0], 1]];
  if (upper < 0) return [[LAYERS.at(-1), 1]];
  const share = (velocity - LAYERS[upper - 1]) / (LAYERS[upper] - LAYERS[upper - 1]);
  return share < 1 ? [[LAYERS[upper - 1], 1 - share], [LAYERS[upper], share]] : [[LAYERS[upper], 1]];
}

/** The audio of the browser; null where there is none. */
function opened() {
  const Context = globalThis.AudioContext ?? globalThis.webkitAudioContext;
  try {
    return new Context({ latencyHint: "interactive" });
  } catch {
    return null;
  }
}

export class Sampler {
  constructor(context = opened()) {
    this.buffers = new Map(); // "pitch-layer" -> AudioBuffer, in the order of their last use
    this.keysUp = new Map(); // recorded key -> AudioBuffer of its way up
    this.loading = new Map();
    this.voices = new Set();
    this.noises = new Set(); // of keys that come up
    this.context = context;
    if (this.silent) return; // the page says so
    this.volume = new GainNode(this.context);
    this.limiter = new DynamicsCompressorNode(this.context, { threshold: -4, knee: 3, ratio: 20, attack: 0.002, release: 0.12 });
    this.volume.connect(this.limiter).connect(this.context.destination);
    this.live = this.bus();
  }

  get silent() {
    return this.context === null;
  }

  async prepare() {
    if (this.silent) return;
    const answer = await fetch("/piano/levels.json");
    const table = await answer.json();
    this.gains = new Map();
    for (const layer of LAYERS) {
      table.pitches.forEach((pitch, place) => {
        const db = table.balance_db[place] + MASTER_DB - table.layers_db[layer][place];
        this.gains.set(`${pitch}-${layer}`, 10 ** (db / 20));
      });
    }
    // A few keys far apart first, so that any note can sound at once; then what lies between.
    const middle = [60, 48, 72, 36, 84, 54, 66, 42, 78];
    await Promise.all(middle.slice(0, 3).map((pitch) => this.load(pitch, 77)));
    for (const layer of [77, 40]) for (const pitch of middle) this.load(pitch, layer);
    await Promise.all(RECORDED.map((pitch) => this.#loadKeyUp(pitch)));
  }

  async #loadKeyUp(pitch) {
    const buffer = await this.#decoded(pitch, "release");
    if (buffer) this.keysUp.set(pitch, buffer);
  }

  /** A way to the loudspeaker that can be silenced by itself. */
  bus() {
    const gain = new GainNode(this.context);
    gain.connect(this.volume);
    return gain;
  }

  async wake() {
    if (!this.silent && this.context.state !== "running") await Promise.race([this.context.resume(), new Promise((done) => setTimeout(done, 300))]);
  }

  load(pitch, layer) {
    const name = `${pitch}-${layer}`;
    if (this.buffers.has(name) || this.silent) return Promise.resolve();
    if (!this.loading.has(name)) this.loading.set(name, this.#fetched(pitch, layer, name).finally(() => this.loading.delete(name)));
    return this.loading.get(name);
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

  async #fetched(pitch, layer, name) {
    const buffer = await this.#decoded(pitch, layer);
    if (buffer === null) return;
    this.buffers.set(name, this.#shortened(buffer, pitch));
    for (const oldest of this.buffers.keys()) {
      if (this.buffers.size <= MOST_BUFFERS) break;
      this.buffers.delete(oldest);
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

  /** Asks for the recordings that a note needs. */
  want(pitch, velocity) {
    for (const [layer] of mixOf(velocity)) this.load(recordedFor(pitch), layer);
  }

  /** The recording asked for, or the nearest that is there: [buffer, its key, its gain]. */
  #nearest(pitch, layer) {
    let best = null;
    let least = Infinity;
    for (const name of this.buffers.keys()) {
      const [key, strength] = name.split("-").map(Number);
      const distance = Math.abs(key - pitch) + (strength === layer ? 0 : 4 + Math.abs(LAYERS.indexOf(strength) - LAYERS.indexOf(layer)));
      if (distance < least) [least, best] = [distance, name];
    }
    if (best === null) return null;
    const buffer = this.buffers.get(best);
    this.buffers.delete(best);
    this.buffers.set(best, buffer); // now the last used
    return [buffer, Number(best.split("-")[0]), this.gains.get(best)];
  }

  /** Strikes a key at a time of the audio clock; it sounds until `release`. Null if there is nothing to sound. */
  strike(pitch, velocity, when, bus = this.live) {
    if (this.silent) return null;
    const key = keyOf(pitch);
    this.want(key, velocity);
    const start = Math.max(when, this.context.currentTime);
    const envelope = new GainNode(this.context, { gain: 1 });
    const sources = [];
    for (const [layer, share] of mixOf(velocity)) {
      const found = this.#nearest(recordedFor(key), layer);
      if (found === null) continue;
      const [buffer, recorded, gain] = found;
      const source = new AudioBufferSourceNode(this.context, { buffer, playbackRate: 2 ** ((key - recorded) / 12) });
      source.connect(new GainNode(this.context, { gain: amplitude(velocity) * share * gain })).connect(envelope);
      source.start(start);
      sources.push(source);
    }
    if (!sources.length) return null;
    envelope.connect(bus);
    const voice = { pitch: key, velocity, start, sources, envelope, bus, end: Infinity, noise: null };
    sources[0].onended = () => {
      envelope.disconnect();
      this.voices.delete(voice);
    };
    this.#restrike(voice);
    this.voices.add(voice);
    this.#spare();
    return voice;
  }

  /** The damper falls at a time. */
  release(voice, when) {
    if (!voice) return;
    const at = Math.max(when, this.context.currentTime, voice.start + 0.02);
    if (voice.pitch >= FIRST_UNDAMPED) return;
    this.#fade(voice, at, damperSeconds(voice.pitch));
  }

  /** The key comes up at a time, and is heard a little; its string sounds on while the pedal holds the damper. */
  lift(voice, when) {
    const buffer = voice && this.keysUp.get(recordedFor(voice.pitch));
    if (!buffer) return;
    const start = Math.max(when, this.context.currentTime);
    if (this.#crowd(start) >= MOST_NOISES) return;
    const source = new AudioBufferSourceNode(this.context, { buffer });
    // A key's way up is much alike however it was struck, so the root: 20 dB between the softest and the loudest.
    source.connect(new GainNode(this.context, { gain: NOISE_GAIN * amplitude(voice.velocity) ** 0.5 })).connect(voice.bus);
    source.start(start);
    voice.noise = { source, start, bus: voice.bus };
    const { noise } = voice;
    this.noises.add(noise);
    source.onended = () => this.noises.delete(noise);
  }

  #crowd(when) {
    let count = 0;
    for (const noise of this.noises) if (Math.abs(noise.start - when) < NOISE_SECONDS) count += 1;
    return count;
  }

  /** All that sounds on a way at a moment ends there as if its keys were let go, and what was to come after it never does. */
  cut(bus, when) {
    for (const voice of [...this.voices].filter((each) => each.bus === bus)) {
      const later = voice.noise?.start > when;
      if (later) voice.noise.source.stop();
      if (voice.start >= when) for (const source of voice.sources) source.stop();
      else {
        if (voice.end > when) this.release(voice, when);
        if (later) this.lift(voice, when);
      }
    }
  }

  #fade(voice, at, seconds) {
    voice.end = at;
    const gain = voice.envelope.gain;
    if (gain.cancelAndHoldAtTime) gain.cancelAndHoldAtTime(at);
    else gain.cancelScheduledValues(at);
    gain.setTargetAtTime(0, at, seconds);
    for (const source of voice.sources) source.stop(at + 7 * seconds);
  }

  /** A hammer on a sounding string stops the old sound nearly at once. */
  #restrike(voice) {
    for (const other of this.voices) {
      if (other.pitch === voice.pitch && other.bus === voice.bus && other.start < voice.start && other.end > voice.start - 0.3) this.#fade(other, voice.start, 0.02);
    }
  }

  #spare() {
    if (this.voices.size <= MOST_VOICES) return;
    const now = this.context.currentTime;
    const sounding = [...this.voices].filter((voice) => voice.start < now - 0.1).sort((a, b) => a.start - b.start);
    for (const voice of sounding.slice(0, this.voices.size - MOST_VOICES)) this.#fade(voice, now, 0.02);
  }

  /** Silences one way, without a click, for good. */
  hush(bus) {
    if (this.silent) return;
    bus.gain.setTargetAtTime(0, this.context.currentTime, 0.012);
    const sources = [...this.voices].flatMap((voice) => (voice.bus === bus ? voice.sources : []));
    for (const noise of this.noises) if (noise.bus === bus) sources.push(noise.source);
    setTimeout(() => {
      for (const source of sources) source.stop();
      bus.disconnect();
    }, 120);
  }

  /** A short tick of a metronome. */
  tick(when, strong) {
    if (this.silent) return;
    const tone = new OscillatorNode(this.context, { frequency: strong ? 1320 : 880, type: "triangle" });
    const gain = new GainNode(this.context, { gain: 0 });
    gain.gain.setValueAtTime(0, when);
    gain.gain.linearRampToValueAtTime(0.25, when + 0.003);
    gain.gain.setTargetAtTime(0, when + 0.01, 0.02);
    tone.connect(gain).connect(this.volume);
    tone.start(when);
    tone.stop(when + 0.2);
  }
}
