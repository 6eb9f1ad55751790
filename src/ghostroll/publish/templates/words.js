// What gallery.json says, made safe to show, and the words for times and counts.
// The same words as in wording.py: a browser test compares them.

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const byId = (id) => document.getElementById(id);
const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** Hide or show without a style attribute, which the page's policy forbids. */
function reveal(element, shown) {
  element.hidden = !shown;
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
    key: String(item.share).split("?")[0], // a new signature is not a new picture
    name: String(item.name),
    camera: String(item.camera ?? ""),
    caption: String(item.caption ?? ""),
    clip: item.kind === "video",
    taken: parseTaken(item.taken),
    share,
    thumb: safeAddress(String(item.thumb)),
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

function sayState({ state, total, items }) {
  const here = items.length;
  if (state !== "complete") {
    if (!here) return "The first pictures are on their way";
    return `${here.toLocaleString("en")} of ${count(Math.max(total, here), "picture")}, more are coming`;
  }
  return here ? `${count(here, "picture")}, complete` : "No pictures";
}

function sayEmpty({ state }) {
  if (state !== "complete") return "Pictures appear here as they arrive.";
  return "There is nothing to show. Files that are not pictures are kept in the originals.";
}

function sayFailed(failed) {
  return `${count(failed.length, "file")} could not be shown`;
}
