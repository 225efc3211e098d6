// What a person plays, whatever they play on: a MIDI keyboard, the computer's keys, the screen's piano. The pedal makes notes longer.

const KEYS = "awsedftgyhujkolp"; // a piano's pattern on the middle rows, from C
const PEDAL = 64;

export class Hands extends EventTarget {
  constructor(sampler) {
    super();
    this.sampler = sampler;
    this.held = new Map(); // pitch -> { onset, velocity, voice, isDown }
    this.pedal = false;
    this.octave = 4;
    this.keysOn = () => false; // whether the computer's keys are a piano now
    this.midi = "none"; // none, unable, refused, or the keyboards' names
    this.#listenToKeys();
  }

  /** Nothing sounds. */
  get resting() {
    return this.held.size === 0;
  }

  /** Rows of what is held, ending now. */
  sounding(now = performance.now()) {
    return [...this.held].map(([pitch, note]) => [note.onset, Math.max(note.onset + 10, now), pitch, note.velocity]);
  }

  down(pitch, velocity, at = performance.now()) {
    if (pitch < 21 || pitch > 108) return;
    if (this.held.has(pitch)) this.#end(pitch, at);
    this.dispatchEvent(new CustomEvent("strike", { detail: { pitch, velocity, at } }));
    this.sampler.wake();
    const voice = this.sampler.silent ? null : this.sampler.strike(pitch, velocity, 0);
    this.held.set(pitch, { onset: at, velocity, voice, isDown: true });
  }

  up(pitch, at = performance.now()) {
    const note = this.held.get(pitch);
    if (!note || !note.isDown) return;
    note.isDown = false;
    this.sampler.lift(note.voice, 0);
    if (!this.pedal) this.#end(pitch, at);
    this.#rest(at);
  }

  setPedal(down, at = performance.now()) {
    this.pedal = down;
    if (down) return;
    for (const [pitch, note] of [...this.held]) if (!note.isDown) this.#end(pitch, at);
    this.#rest(at);
  }

  #end(pitch, at) {
    const note = this.held.get(pitch);
    this.held.delete(pitch);
    this.sampler.release(note.voice, 0);
    this.dispatchEvent(new CustomEvent("note", { detail: [note.onset, Math.max(note.onset + 10, at), pitch, note.velocity] }));
  }

  #rest(at) {
    if (this.resting) this.dispatchEvent(new CustomEvent("rest", { detail: { at } }));
  }

  letGo() {
    this.pedal = false;
    for (const pitch of [...this.held.keys()]) this.#end(pitch, performance.now());
  }

  #listenToKeys() {
    const pitchOf = (event) => {
      const place = event.key.length === 1 ? KEYS.indexOf(event.key.toLowerCase()) : -1;
      return place < 0 ? null : 12 * (this.octave + 1) + place;
    };
    const down = new Map(); // which pitch a key began, should the octave change meanwhile
    addEventListener("keydown", (event) => {
      if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !this.keysOn() || isWriting(event.target)) return;
      if (event.key === "z" || event.key === "x") this.octave = Math.min(7, Math.max(1, this.octave + (event.key === "z" ? -1 : 1)));
      const pitch = pitchOf(event);
      if (pitch === null) return;
      event.preventDefault();
      down.set(event.code, pitch);
      this.down(pitch, 76);
    });
    addEventListener("keyup", (event) => {
      if (!down.has(event.code)) return;
      this.up(down.get(event.code));
      down.delete(event.code);
    });
    addEventListener("blur", () => { down.clear(); this.letGo(); });
  }

  /** Asks for MIDI keyboards, and hears those that are plugged in later. */
  async connect() {
    if (this.access) return;
    if (!navigator.requestMIDIAccess) {
      this.#found("unable");
      return;
    }
    try {
      this.access = await navigator.requestMIDIAccess();
    } catch {
      this.#found("refused");
      return;
    }
    this.access.onstatechange = () => this.#attach();
    this.#attach();
  }

  #attach() {
    const inputs = [...this.access.inputs.values()].filter((input) => input.state !== "disconnected");
    for (const input of inputs) input.onmidimessage = (event) => this.#hear(event);
    this.#found(inputs.length ? inputs.map((input) => input.name).join(", ") : "none");
  }

  #found(midi) {
    this.midi = midi;
    this.dispatchEvent(new Event("devices"));
  }

  #hear({ data: [status, key, value], timeStamp }) {
    const at = timeStamp > 0 ? timeStamp : performance.now();
    const kind = status & 0xf0;
    if (kind === 0x90 && value > 0) this.down(key, value, at);
    else if (kind === 0x80 || kind === 0x90) this.up(key, at);
    else if (kind === 0xb0 && key === PEDAL) this.setPedal(value >= 64, at);
  }
}

export function isWriting(target) {
  return target instanceof HTMLElement && target.matches("input:not([type=range], [type=radio], [type=checkbox], [type=file]), textarea, select");
}
