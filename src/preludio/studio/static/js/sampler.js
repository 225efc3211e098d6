// The piano: recordings of a grand at four strengths, every third key, laid over one another (as preludio.render does it).

import { HIGHEST, LAYERS, LOWEST, recordedFor, Recordings } from "./recordings.js";

const FIRST_UNDAMPED = 90; // a grand has no dampers from about here up
const MASTER_DB = -3; // below the written sound
const MOST_VOICES = 90;
const RANGE_DB = 40;
const NOISE_GAIN = 0.008 * 10 ** ((MASTER_DB - 2) / 20); // of a key that comes up: as far under the strings as in the written sound
const MOST_NOISES = 24; // at about one time: in such a crowd nobody hears one more
const NOISE_SECONDS = 0.4;
const RING_OUT_MS = 12_000; // the longest recording
const FIRST_MS = 150; // what sounds together with the first note
const READY_MS = 400; // a first note does not wait longer for its own recordings: near ones stand in

/** The key of a piano that plays a MIDI pitch: beyond the ends of the keyboard, the same tone some octaves inside. */
const keyOf = (pitch) => (pitch > HIGHEST ? pitch - 12 * Math.ceil((pitch - HIGHEST) / 12) : pitch < LOWEST ? pitch + 12 * Math.ceil((LOWEST - pitch) / 12) : pitch);
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
    this.voices = new Set();
    this.noises = new Set(); // of keys that come up
    this.context = context;
    if (this.silent) return; // the page says so
    this.recordings = new Recordings(context);
    this.volume = new GainNode(context);
    this.output = new WaveShaperNode(context, { curve: [-1, 1] }); // straight, and never over full scale
    // Until the limiter is there, and where a browser has no place for it (a page without https from another machine).
    this.limiter = new DynamicsCompressorNode(context, { threshold: -4, knee: 3, ratio: 20, attack: 0.002, release: 0.12 });
    this.volume.connect(this.limiter).connect(this.output).connect(context.destination);
    this.live = this.bus();
  }

  get silent() {
    return this.context === null;
  }

  get ready() {
    return this.silent || this.recordings.gains !== null;
  }

  async prepare() {
    if (this.silent) return;
    const limited = this.#limit();
    const answer = await fetch("/piano/levels.json");
    this.recordings.level(await answer.json(), MASTER_DB);
    await Promise.all([limited, this.recordings.prepare()]);
  }

  /** Puts the exact limiter where the browser's compressor was. */
  async #limit() {
    if (!this.context.audioWorklet) return;
    try {
      await this.context.audioWorklet.addModule("/static/js/limiter.js");
    } catch {
      return; // offline for a moment
    }
    const limiter = new AudioWorkletNode(this.context, "limiter", { outputChannelCount: [2], channelCount: 2, channelCountMode: "explicit" });
    this.volume.disconnect();
    this.limiter.disconnect();
    this.limiter = limiter;
    this.volume.connect(limiter).connect(this.output);
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

  /** Asks for the recordings that a note needs; it sounds in so many milliseconds. Settled when they are there. */
  want(pitch, velocity, inMs = 0) {
    if (this.silent) return Promise.resolve();
    const key = keyOf(pitch);
    return Promise.all(mixOf(velocity).map(([layer]) => this.recordings.load(recordedFor(key), layer, Math.max(0, inMs))));
  }

  /** Waits a little for the recordings of rows that sound first. */
  async wantFirst(notes) {
    if (this.silent || !notes.length) return;
    this.recordings.postpone();
    const first = notes.filter((note) => note[0] < notes[0][0] + FIRST_MS);
    await Promise.race([Promise.all(first.map((note) => this.want(note[2], note[3]))), new Promise((done) => setTimeout(done, READY_MS))]);
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
      const found = this.recordings.nearest(recordedFor(key), layer);
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
    const buffer = voice && this.recordings.keyUp(voice.pitch);
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

  /** A way that nothing is sent on any longer: what rings on it may ring out. */
  retire(bus) {
    setTimeout(() => this.hush(bus), RING_OUT_MS);
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
