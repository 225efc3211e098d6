// The service worker, with which the page opens even while the server is not there, and can be installed as an app.

export function install() {
  if (!("serviceWorker" in navigator)) return; // or not over https from another machine
  navigator.serviceWorker.register("/service-worker.js").catch(() => {}); // not now: the page works without it
}
