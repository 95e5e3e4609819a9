// Face boxes by YuNet, as OpenCV's FaceDetectorYN computes them.
import { shrink } from "./pixels.js";

const STRIDES = [8, 16, 32];
const LEAST = 0.6; // score of a face

/**
 * The face with the highest score, or null: x, y, width, height, and x, y of the eyes, the
 * image's left one first; a copy whose longest side is `longest` is searched.
 */
export async function findFace(ort, session, image, longest) {
  const small = shrink(image, longest);
  const [width, height] = [small.width, small.height].map((n) => Math.ceil(n / 32) * 32);
  const input = new ort.Tensor("float32", planes(small, width, height), [1, 3, height, width]);
  const found = await session.run({ [session.inputNames[0]]: input });
  let best = null;
  for (const stride of STRIDES) {
    const cls = found[`cls_${stride}`].data;
    const obj = found[`obj_${stride}`].data;
    for (let i = 0; i < cls.length; i++) {
      const score = Math.sqrt(unit(cls[i]) * unit(obj[i]));
      if (score < LEAST || score <= (best?.score ?? 0)) continue;
      best = { score, face: faceOf(found, i, stride, width / stride) };
    }
  }
  return best && best.face.map((value) => value / small.scale);
}

const unit = (value) => Math.min(Math.max(value, 0), 1);

/** Boxes and points are relative to the cell of a grid over the picture. */
function faceOf(found, i, stride, columns) {
  const [column, row] = [i % columns, Math.floor(i / columns)];
  const [x, y, w, h] = found[`bbox_${stride}`].data.subarray(4 * i, 4 * i + 4);
  const [width, height] = [Math.exp(w) * stride, Math.exp(h) * stride];
  const [left, top] = [(column + x) * stride - width / 2, (row + y) * stride - height / 2];
  const points = found[`kps_${stride}`].data.subarray(10 * i, 10 * i + 4);
  const eyes = Array.from(points, (at, k) => (at + (k % 2 ? row : column)) * stride);
  return [left, top, width, height, ...eyes];
}

/** Blue, green and red planes, with zeros to the right and below. */
function planes({ data, width, height }, columns, rows) {
  const out = new Float32Array(3 * rows * columns);
  const plane = rows * columns;
  for (let row = 0, from = 0; row < height; row++) {
    for (let column = 0, to = row * columns; column < width; column++, to++) {
      out[to + 2 * plane] = data[from++];
      out[to + plane] = data[from++];
      out[to] = data[from++];
    }
  }
  return out;
}
