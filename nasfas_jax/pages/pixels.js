// Images as {data: Uint8ClampedArray of RGBA, width, height}: crops and sizes as OpenCV's.

/** Rounds halves to the even number, as Python and OpenCV do. */
export function roundEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

/** Square [x, y, side] about a box, `margin` times its longer side (faces.square). */
export function square([x, y, width, height], margin) {
  const side = roundEven(margin * Math.max(width, height));
  return [roundEven(x + (width - side) / 2), roundEven(y + (height - side) / 2), side];
}

/** Clockwise angle of the line from the image's left eye to the right one (faces.roll_of). */
export function rollOf([leftX, leftY, rightX, rightY]) {
  return Math.atan2(rightY - leftY, rightX - leftX);
}

/** RGB crop, Uint8Array [size, size, 3], of a square; the border repeats (faces.crop). */
export function crop(image, where, size, roll = 0) {
  const side = where[2];
  const whole = Math.max(Math.floor(side / size), 1) * size;
  let part = roll ? turned(image, where, roll) : cut(image, where);
  if (side !== whole) part = interpolate(part, side, whole);
  if (whole !== size) {
    const taps = area(whole, size, whole / size);
    part = resize(part, 3, whole, taps, taps);
  }
  return part;
}

/** An image with its longest side bounded, as RGB {data, width, height, scale}. */
export function shrink({ data, width, height }, longest) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const [columns, rows] = [roundEven(width * scale), roundEven(height * scale)];
  const across = area(width, columns, 1 / scale);
  const down = area(height, rows, 1 / scale);
  return { data: resize(data, 4, width, across, down), width: columns, height: rows, scale };
}

/** RGB pixels of a rectangle [x, y, width, height = width]; the border repeats. */
function cut({ data, width, height }, [x, y, wide, high = wide]) {
  const out = new Uint8Array(wide * high * 3);
  let at = 0;
  for (let row = y; row < y + high; row++) {
    const start = Math.min(Math.max(row, 0), height - 1) * width;
    for (let column = x; column < x + wide; column++) {
      const from = 4 * (start + Math.min(Math.max(column, 0), width - 1));
      out[at++] = data[from];
      out[at++] = data[from + 1];
      out[at++] = data[from + 2];
    }
  }
  return out;
}

/** RGB pixels of a square that is turned about its center; places in 1/32, as OpenCV's. */
function turned({ data, width, height }, [left, top, side], roll) {
  const [cos, sin, half] = [Math.cos(roll), Math.sin(roll), (side - 1) / 2];
  const out = new Uint8ClampedArray(side * side * 3);
  const inside = (value, length) => Math.min(Math.max(value, 0), length - 1);
  for (let row = 0, at = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const [across, down] = [column - half, row - half];
      const x = Math.round(32 * (left + half + across * cos - down * sin)) / 32;
      const y = Math.round(32 * (top + half + across * sin + down * cos)) / 32;
      const [low, high] = [Math.floor(x), Math.floor(y)];
      const [right, below] = [x - low, y - high];
      const columns = [inside(low, width), inside(low + 1, width)];
      const rows = [inside(high, height) * width, inside(high + 1, height) * width];
      const [a, b, c, d] = [4 * (rows[0] + columns[0]), 4 * (rows[0] + columns[1]),
        4 * (rows[1] + columns[0]), 4 * (rows[1] + columns[1])];
      for (let k = 0; k < 3; k++) {
        const upper = data[a + k] * (1 - right) + data[b + k] * right;
        const lower = data[c + k] * (1 - right) + data[d + k] * right;
        out[at++] = upper * (1 - below) + lower * below;
      }
    }
  }
  return new Uint8Array(out.buffer);
}

/** A square of another side, bilinear; in the integers of OpenCV, with 11 bits of weight. */
function interpolate(data, from, to) {
  const taps = Array.from({ length: to }, (_, i) => {
    const center = Math.fround((i + 0.5) / (to / from) - 0.5);
    const low = Math.floor(center);
    if (low < 0) return [0, 0, 2048, 0];
    if (low >= from - 1) return [from - 1, from - 1, 2048, 0];
    const part = Math.fround(center - low);
    return [low, low + 1, roundEven(2048 * Math.fround(1 - part)), roundEven(2048 * part)];
  });
  const line = 3 * to;
  const wide = new Int32Array(from * line);
  for (let row = 0, at = 0; row < from; row++) {
    for (const [low, high, first, second] of taps) {
      const [a, b] = [3 * (row * from + low), 3 * (row * from + high)];
      for (let c = 0; c < 3; c++) wide[at++] = (data[a + c] * first + data[b + c] * second) >> 4;
    }
  }
  const out = new Uint8Array(to * line);
  taps.forEach(([low, high, first, second], row) => {
    const [a, b, start] = [low * line, high * line, row * line];
    for (let k = 0; k < line; k++) {
      out[start + k] = (((wide[a + k] * first) >> 16) + ((wide[b + k] * second) >> 16) + 2) >> 2;
    }
  });
  return out;
}

// Areas: output position i is the sum of the input positions from first[i] on, with the
// weights from start[i] to start[i + 1].

function area(from, to, scale) {
  const [first, start, weights] = [new Int32Array(to), new Int32Array(to + 1), []];
  for (let i = 0; i < to; i++) {
    const [low, high] = [i * scale, Math.min((i + 1) * scale, from)];
    first[i] = Math.floor(low + 1e-3 > Math.ceil(low) ? Math.ceil(low) : low);
    const parts = [];
    for (let at = first[i]; at < high - 1e-3; at++) {
      parts.push(Math.min(at + 1, high) - Math.max(at, low));
    }
    const total = parts.reduce((sum, part) => sum + part, 0);
    weights.push(...parts.map((part) => part / total));
    start[i + 1] = weights.length;
  }
  return { first, start, weights: Float64Array.from(weights) };
}

/** RGB of areas of an image with 3 or 4 channels. */
function resize(data, channels, width, across, down) {
  const [columns, rows] = [across.first.length, down.first.length];
  const line = width * channels;
  // OpenCV rounds halves up where it averages 2 x 2 pixels, and to even numbers otherwise.
  const half = across.weights.length === 2 * columns && down.weights.length === 2 * rows;
  const tie = half ? 0.01 : 0;
  const sum = new Float32Array(line);
  const out = new Uint8ClampedArray(rows * columns * 3); // rounds on assignment
  for (let row = 0, to = 0; row < rows; row++) {
    sum.fill(0);
    let from = down.first[row] * line;
    for (let i = down.start[row]; i < down.start[row + 1]; i++, from += line) {
      const weight = down.weights[i];
      for (let k = 0; k < line; k++) sum[k] += weight * data[from + k];
    }
    for (let column = 0; column < columns; column++) {
      let [red, green, blue] = [0, 0, 0];
      let at = across.first[column] * channels;
      for (let i = across.start[column]; i < across.start[column + 1]; i++, at += channels) {
        const weight = across.weights[i];
        red += weight * sum[at];
        green += weight * sum[at + 1];
        blue += weight * sum[at + 2];
      }
      out[to++] = red + tie;
      out[to++] = green + tie;
      out[to++] = blue + tie;
    }
  }
  return new Uint8Array(out.buffer);
}
