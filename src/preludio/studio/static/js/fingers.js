// One finger pans, two pinch, a tap is a tap. The element must not leave any of it to the browser (touch-action: none).

const STILL = 8; // pixels that a finger may move and still tap
const TAP_MS = 500;

/** does: free() whether fingers are ours now, tap(x), pan(dx), pinch(factor, x), in pixels of the element. */
export function listenToFingers(element, does) {
  const fingers = new Map(); // pointer -> its last x and y
  let tap = null; // where and when the only finger came down, as long as it may become a tap
  const at = (event) => ({ x: event.offsetX, y: event.offsetY });
  const spread = () => {
    const [one, other] = [...fingers.values()];
    return { apart: Math.hypot(one.x - other.x, one.y - other.y), middle: (one.x + other.x) / 2 };
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" || !does.free()) return;
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    tap = fingers.size === 1 ? { ...at(event), ms: event.timeStamp } : null;
  });
  element.addEventListener("pointermove", (event) => {
    const last = fingers.get(event.pointerId);
    if (!last) return;
    const now = at(event);
    if (tap && Math.hypot(now.x - tap.x, now.y - tap.y) <= STILL) return;
    const before = fingers.size === 2 ? spread() : null;
    fingers.set(event.pointerId, now);
    if (before) {
      const after = spread();
      does.pinch(after.apart / Math.max(before.apart, 1), after.middle);
      does.pan(after.middle - before.middle);
    } else if (fingers.size === 1) does.pan(now.x - last.x);
    tap = null;
  });
  element.addEventListener("pointerup", (event) => {
    if (fingers.delete(event.pointerId) && tap && event.timeStamp - tap.ms < TAP_MS) does.tap(tap.x);
    tap = null;
  });
  element.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    tap = null;
  });
}
