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

/** RGB crop, Uint8Array [size, size, 3], of a square; the border repeats (faces.crop). */
export function crop(image, where, size) {
  const side = where[2];
  const whole = Math.max(Math.floor(side / size), 1) * size;
  let part = cut(image, where);
  if (side !== whole) part = interpolate(part, side, whole);
  if (whole !== size) {
    const taps = area(whole, size, whole / size);
    part = resize(part, whole, whole, taps, taps);
  }
  return part;
}

/** An image with its longest side bounded, as RGB {data, width, height, scale}. */
export function shrink(image, longest) {
  const { width, height } = image;
  const scale = Math.min(1, longest / Math.max(width, height));
  const data = cut(image, [0, 0, width, height]);
  if (scale === 1) return { data, width, height, scale };
  const [columns, rows] = [roundEven(width * scale), roundEven(height * scale)];
  const across = area(width, columns, 1 / scale);
  const down = area(height, rows, 1 / scale);
  return { data: resize(data, width, height, across, down), width: columns, height: rows, scale };
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

// Areas: each output position has taps, [first input position, weights].

function area(from, to, scale) {
  return Array.from({ length: to }, (_, i) => {
    const [start, end] = [i * scale, Math.min((i + 1) * scale, from)];
    const first = Math.floor(start + 1e-3 > Math.ceil(start) ? Math.ceil(start) : start);
    const weights = [];
    for (let at = first; at < end - 1e-3; at++) {
      weights.push(Math.min(at + 1, end) - Math.max(at, start));
    }
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return [first, weights.map((weight) => weight / total)];
  });
}

function resize(data, width, height, across, down) {
  const columns = across.length;
  const wide = new Float32Array(height * columns * 3);
  for (let row = 0, at = 0; row < height; row++) {
    for (const [first, weights] of across) {
      let [red, green, blue] = [0, 0, 0];
      for (let i = 0, from = 3 * (row * width + first); i < weights.length; i++, from += 3) {
        red += weights[i] * data[from];
        green += weights[i] * data[from + 1];
        blue += weights[i] * data[from + 2];
      }
      wide[at++] = red;
      wide[at++] = green;
      wide[at++] = blue;
    }
  }
  const out = new Uint8ClampedArray(down.length * columns * 3); // rounds on assignment
  const line = columns * 3;
  const sum = new Float32Array(line);
  down.forEach(([first, weights], row) => {
    sum.fill(0);
    weights.forEach((weight, i) => {
      for (let k = 0, from = (first + i) * line; k < line; k++) sum[k] += weight * wide[from + k];
    });
    out.set(sum, row * line);
  });
  return new Uint8Array(out.buffer);
}
