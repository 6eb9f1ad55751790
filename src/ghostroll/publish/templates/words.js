// What gallery.json says, made safe to show, and the words for times and counts.
// The same words as in wording.py: a browser test compares them.

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const UNITS = ["kB", "MB", "GB", "TB"];

const byId = (id) => document.getElementById(id);
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** Hide or show without a style attribute, which the page's policy forbids. */
function reveal(element, shown) {
  element.hidden = !shown;
}

/** A link to an address, hidden where there is none. */
function offer(link, address) {
  if (address) link.href = address;
  else link.removeAttribute("href");
  reveal(link, address);
}

/** The address, if it may be loaded or linked to: below this page, or http(s). Else null. */
function safeAddress(address) {
  try {
    const url = new URL(address, document.baseURI);
    const here = new URL(".", document.baseURI);
    const below = url.protocol === here.protocol && url.host === here.host && url.pathname.startsWith(here.pathname);
    return below || url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

/** The camera's local time as {day, date, clock}, or null where there is none that makes sense. */
function parseTaken(taken) {
  const local = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.exec(taken ?? "")?.[0];
  const date = new Date(`${local}Z`);
  if (!local || Number.isNaN(date.valueOf()) || date.toISOString().slice(0, 19) !== local) return null;
  return { day: local.slice(0, 10), date, clock: local.slice(11) };
}

/** One picture of gallery.json, with every field of the type that the page counts on. */
function readItem(item) {
  const width = Number(item.width) > 0 ? Number(item.width) : 3;
  const height = Number(item.height) > 0 ? Number(item.height) : 2;
  const share = safeAddress(String(item.share));
  return {
    key: bareAddress(String(item.share)), // a new signature is not a new picture
    name: String(item.name),
    camera: String(item.camera ?? ""),
    caption: String(item.caption ?? ""),
    clip: item.kind === "video",
    taken: parseTaken(item.taken),
    share,
    thumb: safeAddress(String(item.thumb)),
    original: item.original ? safeAddress(String(item.original)) : null,
    width,
    height,
  };
}

/** gallery.json as the page uses it. Throws where the text is not one of a version it knows. */
function readGallery(text) {
  const gallery = JSON.parse(text);
  if (gallery.version !== 1) throw new Error("gallery.json is of another version");
  const items = new Map(gallery.items.map((item) => readItem(item)).map((item) => [item.key, item]));
  return {
    state: String(gallery.state),
    total: Number(gallery.total),
    items: [...items.values()],
    failed: gallery.failed.map(({ name, error }) => ({ name: String(name), error: String(error) })),
    archive: gallery.archive ? safeAddress(String(gallery.archive.address)) : null,
    archiveBytes: Number(gallery.archive?.bytes) || 0,
  };
}

function sayDate(date) {
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
}

function sayDay(taken) {
  return taken ? `${WEEKDAYS[taken.date.getUTCDay()]}, ${sayDate(taken.date)}` : "No date";
}

function saySpan(items) {
  const days = items.filter((item) => item.taken).sort((a, b) => a.taken.date - b.taken.date);
  if (!days.length) return "";
  const first = days[0].taken.date;
  const last = days.at(-1).taken.date;
  const [from, to] = [sayDate(first), sayDate(last)];
  if (from === to) return from;
  if (first.getUTCFullYear() !== last.getUTCFullYear()) return `${from} – ${to}`;
  if (first.getUTCMonth() !== last.getUTCMonth()) return `${first.getUTCDate()} ${MONTHS[first.getUTCMonth()]} – ${to}`;
  return `${first.getUTCDate()}–${to}`;
}

/** The days of the pictures; before the first, the day of the session. */
function sayTitle({ items }) {
  const session = parseTaken(`${/^\d{4}-\d\d-\d\d(?=_)/.exec(byId("session").textContent)?.[0]}T00:00:00`);
  return !items.length && session ? sayDate(session.date) : saySpan(items);
}

function sayState({ state, total, items }) {
  const here = items.length;
  const said = here.toLocaleString("en");
  if (state === "complete") return here ? `${count(here, "picture")}, complete` : "No pictures";
  if (!here) return "The first pictures are on their way";
  if (total <= here) return `${count(here, "picture")}, more are coming`;
  return `${said} of ${count(total, "picture")}, ${(total - here).toLocaleString("en")} still to come`;
}

function sayArchive({ archiveBytes }) {
  return `Download all, ${saySize(archiveBytes)}`;
}

function saySize(bytes) {
  let [number, unit] = [bytes, 0];
  for (; unit < UNITS.length && Math.round(number) >= 1000; unit += 1) number /= 1000;
  if (!unit) return count(number, "byte");
  return `${number.toFixed(Number(number.toFixed(1)) < 10 ? 1 : 0)} ${UNITS[unit - 1]}`;
}

function sayEmpty({ state }) {
  if (state !== "complete") return "Pictures appear here as they arrive.";
  return "There is nothing to show. Files that are not pictures are kept in the originals.";
}

function sayFailed(failed) {
  return `${count(failed.length, "file")} could not be shown`;
}
