// Justified rows: pictures keep their shape, rows fill the width. Pure arithmetic, in CSS pixels, so
// that the height of everything is known before a picture is loaded, and nothing ever jumps.

const GAP = 4;
const NARROWEST = 0.5; // beyond these, a tile shows the middle of a very tall or very wide picture
const WIDEST = 3.2;
const LAST = 1.35; // times the height aimed for: a last row that would be higher doesn't fill the width

/** The height that rows aim for: two landscape pictures side by side on a phone, more on a desk. */
function aimHeight(width) {
  return Math.min(260, Math.max(110, 84 + width * 0.1));
}

/** One day's boxes {left, top, width, height}, and the height of all, for pictures {width, height}. */
function layRows(pictures, width) {
  const aim = aimHeight(width);
  const boxes = [];
  let top = 0;
  let row = [];
  let shape = 0; // the sum of the row's ratios of width to height
  const fit = (ratios, number) => (width - GAP * (number - 1)) / ratios;
  const close = (height) => {
    let left = 0;
    for (const ratio of row) {
      const right = left + ratio * height;
      boxes.push({ left: Math.round(left), top, width: Math.round(right) - Math.round(left), height: Math.round(height) });
      left = right + GAP;
    }
    top += Math.round(height) + GAP;
    row = [];
    shape = 0;
  };
  for (const picture of pictures) {
    const ratio = Math.min(WIDEST, Math.max(NARROWEST, picture.width / picture.height));
    const before = fit(shape, row.length);
    const after = fit(shape + ratio, row.length + 1);
    // Close the row without this picture where that comes nearer to the height aimed for.
    if (row.length && after < aim && before / aim < aim / after) close(before);
    row.push(ratio);
    shape += ratio;
    if (fit(shape, row.length) <= aim) close(fit(shape, row.length));
  }
  const rest = fit(shape, row.length);
  if (row.length) close(rest < aim * LAST ? rest : aim);
  return { boxes, height: Math.max(0, top - GAP) };
}
