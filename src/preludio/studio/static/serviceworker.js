// Opens the page while the server is not there. STATE and FILES come before this, from the server.
//
// The server is asked first, always: whoever updates Preludio sees the new page at once. The piano's recordings never change, so those are
// taken from here. The API is never answered from here: a piece of yesterday would be shown as today's.

const SHELL = `preludio-page-${STATE}`;
const PIANO = "preludio-piano";

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(FILES)));
});

addEventListener("activate", (event) => {
  event.waitUntil(forgetOldStates().then(() => clients.claim()));
});

async function forgetOldStates() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith("preludio-page-") && name !== SHELL).map((name) => caches.delete(name)));
}

addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin || pathname.startsWith("/api")) return;
  if (pathname.startsWith("/piano/")) event.respondWith(recorded(request));
  else if (pathname.startsWith("/static/")) event.respondWith(serverFirst(request, pathname));
  else if (pathname === "/" || pathname.startsWith("/p/")) event.respondWith(serverFirst(request, "/"));
});

async function recorded(request) {
  const cache = await caches.open(PIANO);
  const known = await cache.match(request.url);
  if (known) return known;
  const answer = await fetch(request);
  if (answer.status === 200) cache.put(request.url, answer.clone()).catch(() => {}); // no space for it: it is fetched again
  return answer;
}

async function serverFirst(request, path) {
  try {
    return await fetch(request);
  } catch (error) {
    const known = await (await caches.open(SHELL)).match(path);
    if (known) return known;
    throw error;
  }
}
