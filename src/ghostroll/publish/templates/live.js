// How the gallery grows while it is looked at: gallery.json is asked for again and again, and once it is
// complete never more. Only a picture that fails to load asks once more: its address may have a successor.

const FIRST = 300; // milliseconds between two questions while there is no picture yet
const SOONEST = 2000; // milliseconds; each time nothing is new, wait half as long again
const LATEST = 30000;
const PER_LENGTH = 1 / 500; // milliseconds a character: a long list is not asked for every two seconds
const RECENT = 30000; // an answer so new knows of no newer address
const LONG = 3600000; // who comes back after so long gets new addresses
const ANEW = 8; // of so many polls one passes every cache: times by the second can hide a change
const REFUSALS = new Set([400, 401, 403]);
const PATIENCE = 9; // answers without a gallery before the first one: to who may not list, a store says 403 for 404
const EXPIRED = ["This link has expired.", "Ask whoever sent it to you for a new one."];
const TROUBLE = ["No connection just now.", "Trying again."];

const own = byId("gallery").dataset.address; // of a page in a bucket
const address = own ?? "gallery.json";
let known = ""; // the text of the last gallery.json
let complete = false;
let over = false; // the link has expired
let asking = null; // the question on its way
let askedAt = -Infinity;
let questions = 0;
let failures = 0;
let refusals = 0;
let delay = FIRST;
let timer = 0;

/** Ask for gallery.json, once at a time, and show what is new in it. True where there was an answer. */
function ask() {
  asking ??= fetchGallery().finally(() => { asking = null; });
  return asking;
}

async function fetchGallery() {
  askedAt = Date.now();
  questions += 1;
  try {
    const cache = questions % ANEW ? "no-cache" : "reload";
    const answer = await fetch(address, { cache, signal: AbortSignal.timeout(LATEST) });
    const text = await answer.text();
    if (answer.status === 404 && isAwaited()) return false;
    if (REFUSALS.has(answer.status)) return refuse(text);
    if (!answer.ok) throw new Error(`gallery.json: ${answer.status}`);
    const gallery = readGallery(text);
    const [news, back] = [text !== known, failures > 0];
    failures = 0;
    refusals = 0;
    delay = news ? (gallery.items.length ? SOONEST : FIRST) + text.length * PER_LENGTH : later(delay);
    known = text;
    if (news || back) showGallery(gallery);
    if (back) retryPictures();
    notify();
    return true;
  } catch {
    delay = later(delay);
    failures += 1;
    if (failures > 1 || !known) notify(TROUBLE);
    return false;
  }
}

/** Before the first answer some patience: gallery.json may come a moment after the page. */
function isAwaited() {
  refusals += 1;
  delay = later(delay);
  return !known && refusals < PATIENCE;
}

/** A refusal is final where it says so, after an answer, and when patience ends. */
function refuse(text) {
  if (isAwaited() && !/expired/i.test(text)) return false;
  over = true;
  notify(EXPIRED);
  byId("status").textContent = items.length ? count(items.length, "picture") : "";
  offer(byId("archive"), null);
  document.body.dataset.state = "expired";
  if (box.open) sayPosition();
  return false;
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden) return document.addEventListener("visibilitychange", poll, { once: true });
  await ask();
  clearTimeout(timer);
  if (!complete && !over) timer = setTimeout(poll, delay);
  return undefined;
}

/** For an address that died: ask once more, unless there was an answer just now. */
async function askAnew() {
  if (asking) return asking;
  if (over || location.protocol === "file:" || Date.now() - askedAt < RECENT) return false;
  return ask();
}

/** What stands in the way of the gallery, where the reader sees it. */
function notify([what, todo] = ["", ""]) {
  byId("trouble").textContent = what;
  byId("remedy").textContent = todo;
  reveal(byId("notice"), what);
}

/** Once there is a connection again: another try for what could not be loaded. */
function retryPictures() {
  retryBroken();
  if (box.open && !byId("broken").hidden) showPicture(current);
}

function later(wait) {
  return Math.min(LATEST, wait * 1.5);
}

addEventListener("online", async () => {
  if (over || location.protocol === "file:") return;
  if (!complete) await poll();
  retryPictures();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && complete && own && Date.now() - askedAt > LONG) askAnew();
});
