// What a person plays, on whatever input: a MIDI keyboard, the computer's keys, the screen's piano. The pedal makes notes longer.
//
// Every held key and every pedal belongs to the input that pressed it, so that an input that goes away takes only its own along.

const KEYS = "awsedftgyhujkolp"; // a piano's pattern on the middle rows, from C
const PEDAL = 64;
const SOUND_OFF = 120;
const RESET = 121;
const NOTES_OFF = 123;
const LEAST_MS = 1; // a key that comes up in the millisecond of its onset
const TYPED = "typed"; // inputs that are no MIDI port
const SCREEN = "screen";

export class Hands extends EventTarget {
  constructor(sampler) {
    super();
    this.sampler = sampler;
    this.held = new Map(); // pitch -> { onset, velocity, voice, isDown, input }
    this.pedals = new Set(); // inputs whose pedal is down
    this.octave = 4;
    this.keysOn = () => false; // whether the computer's keys are a piano now
    this.midi = "none"; // none, unable, refused, or the keyboards' names
    this.ports = new Map(); // id -> the connected MIDI input
    this.#listenToKeys();
  }

  /** Nothing sounds. */
  get resting() {
    return this.held.size === 0;
  }

  get pedal() {
    return this.pedals.size > 0;
  }

  /** Rows of what is held, ending now. */
  sounding(now = performance.now()) {
    return [...this.held].map(([pitch, note]) => [note.onset, Math.max(note.onset + LEAST_MS, now), pitch, note.velocity]);
  }

  down(pitch, velocity, at = performance.now(), input = SCREEN) {
    if (pitch < 21 || pitch > 108) return;
    if (this.held.has(pitch)) this.#end(pitch, at);
    this.dispatchEvent(new CustomEvent("strike", { detail: { pitch, velocity, at } }));
    this.sampler.wake();
    const voice = this.sampler.silent ? null : this.sampler.strike(pitch, velocity, 0);
    this.held.set(pitch, { onset: at, velocity, voice, isDown: true, input });
  }

  up(pitch, at = performance.now()) {
    const note = this.held.get(pitch);
    if (!note || !note.isDown) return;
    note.isDown = false;
    this.sampler.lift(note.voice, 0);
    if (!this.pedal) this.#end(pitch, at);
    this.#rest(at);
  }

  setPedal(down, at = performance.now(), input = SCREEN) {
    if (down) this.pedals.add(input);
    else this.pedals.delete(input);
    if (this.pedal) return;
    for (const [pitch, note] of [...this.held]) if (!note.isDown) this.#end(pitch, at);
    this.#rest(at);
  }

  #end(pitch, at) {
    const note = this.held.get(pitch);
    this.held.delete(pitch);
    this.sampler.release(note.voice, 0);
    this.dispatchEvent(new CustomEvent("note", { detail: [note.onset, Math.max(note.onset + LEAST_MS, at), pitch, note.velocity] }));
  }

  #rest(at) {
    if (this.resting) this.dispatchEvent(new CustomEvent("rest", { detail: { at } }));
  }

  letGo() {
    this.pedals.clear();
    for (const pitch of [...this.held.keys()]) this.#end(pitch, performance.now());
  }

  /** All that one input holds comes up, keys and pedal. */
  #release(input, at = performance.now()) {
    for (const [pitch, note] of [...this.held]) if (note.input === input && note.isDown) this.up(pitch, at);
    if (this.pedals.has(input)) this.setPedal(false, at, input);
  }

  #listenToKeys() {
    const pitchOf = (letter) => (letter.length === 1 && KEYS.includes(letter) ? 12 * (this.octave + 1) + KEYS.indexOf(letter) : null);
    const down = new Map(); // which pitch a key began, should the octave change meanwhile
    addEventListener("keydown", (event) => {
      if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !this.keysOn() || isWriting(event.target)) return;
      const letter = event.key.toLowerCase();
      if (letter === "z" || letter === "x") this.octave = Math.min(7, Math.max(1, this.octave + (letter === "z" ? -1 : 1)));
      const pitch = pitchOf(letter);
      if (pitch === null) return;
      event.preventDefault();
      down.set(event.code, pitch);
      this.down(pitch, 76, performance.now(), TYPED);
    });
    addEventListener("keyup", (event) => {
      if (!down.has(event.code)) return;
      this.up(down.get(event.code));
      down.delete(event.code);
    });
    // Of a window without the focus no key is told to come up. A MIDI keyboard is heard on.
    addEventListener("blur", () => {
      down.clear();
      this.#release(TYPED);
      this.#release(SCREEN);
    });
  }

  /** Asks for MIDI keyboards if the browser has been allowed to give them: without a question, and again when that changes. */
  async connectIfAllowed() {
    try {
      const permission = await navigator.permissions.query({ name: "midi" });
      permission.onchange = () => { if (permission.state === "granted") this.connect(); };
      if (permission.state === "granted") await this.connect();
    } catch {
      // a browser that does not know this permission: it is asked when a person wants to play
    }
  }

  /** Asks for MIDI keyboards, and listens to those that are plugged in later. */
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
    this.access.onstatechange = () => this.#attach(true);
    this.#attach(false);
  }

  /** Takes the inputs that are there now; what one that is gone held comes up. `tell`: of those that came or went. */
  #attach(tell) {
    const inputs = new Map([...this.access.inputs].filter(([, input]) => input.state !== "disconnected"));
    const gone = [...this.ports].filter(([id]) => !inputs.has(id));
    const arrived = [...inputs].filter(([id]) => !this.ports.has(id));
    this.ports = inputs;
    for (const [id, input] of inputs) input.onmidimessage = (event) => this.#receive(event, id);
    for (const [id, input] of gone) {
      input.onmidimessage = null;
      this.#release(id);
    }
    this.#found(inputs.size ? [...inputs.values()].map((input) => input.name).join(", ") : "none");
    if (!tell) return;
    for (const [, { name }] of gone) this.dispatchEvent(new CustomEvent("unplugged", { detail: name }));
    for (const [, { name }] of arrived) this.dispatchEvent(new CustomEvent("plugged", { detail: name }));
  }

  #found(midi) {
    this.midi = midi;
    this.dispatchEvent(new Event("devices"));
  }

  #receive({ data: [status, key, value], timeStamp }, input) {
    const at = timeStamp > 0 ? timeStamp : performance.now();
    const kind = status & 0xf0;
    if (kind === 0x90 && value > 0) this.down(key, value, at, input);
    else if (kind === 0x80 || kind === 0x90) this.up(key, at);
    else if (kind === 0xb0 && key === PEDAL) this.setPedal(value >= 64, at, input);
    else if (kind === 0xb0 && key === RESET) this.setPedal(false, at, input);
    else if (kind === 0xb0 && (key === SOUND_OFF || key >= NOTES_OFF)) this.#release(input, at);
  }
}

export function isWriting(target) {
  return target instanceof HTMLElement && target.matches("input:not([type=range], [type=radio], [type=checkbox], [type=file]), textarea, select");
}
