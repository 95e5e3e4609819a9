// The model on pictures and on streams of frames, with no server.
import * as ort from "./ort.wasm.bundle.min.mjs";
import { crop, rollOf, square } from "./pixels.js";
import { findFace } from "./yunet.js";

ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };
// One thread, or half of the cores where the server's headers isolate the page (docs).

const SMALLEST = 16; // side of a usable face box, in pixels
const SMOOTH = 8; // scores whose mean decides
const PATIENCE = 12; // frames without a face after which a new one starts
const STILL = "nothing moves in a still picture, and the network sees only the dynamic image,"
  + " which is black; give a video in which the face moves.";
const OVAL = [0.5, 0.62]; // width and height of the oval, as parts of the picture's height

export class Scorer {
  /** Loads the program beside the page; `every`: frames from one detection to the next. */
  static async load(every = 5) {
    const settings = await (await fetch("settings.json")).json();
    const open = (file) => file && ort.InferenceSession.create(file);
    const program = await open(settings.program);
    const faces = await open(settings.face_model);
    return new Scorer(settings, program, faces, every);
  }

  constructor(settings, program, faces, every) {
    Object.assign(this, { settings, program, faces, every });
    this.kept = settings.frames === 1 ? 1 : settings.span;
    this.clear();
  }

  /** What the page shows of the model. */
  about() {
    const { name, threshold, input } = this.settings;
    return { name, threshold, input, oval: !this.faces };
  }

  /** Forgets the frames seen. */
  clear() {
    Object.assign(this, { frame: 0, lost: 0, last: null, images: [], found: [], scores: [] });
  }

  /** The next frame of a stream: {box, score, mean, verdict}; values are null without one. */
  async step(image) {
    const [first] = this.images;
    if (first && (first.width !== image.width || first.height !== image.height)) this.clear();
    this.images.push(image);
    if (this.images.length > this.kept) this.images.shift();
    const due = this.lost > 0 || this.last === null || this.frame % this.every === 0;
    this.frame++;
    if (due) await this.detect(image);
    this.found.push(this.lost || !this.last ? null : this.last);
    if (this.found.length > this.settings.span) this.found.shift();
    return this.result(image);
  }

  /** A still picture, which fills a window alone. */
  async picture(image) {
    if (this.settings.input === "dynamic") throw new Error(STILL);
    this.clear();
    const found = await this.find(image);
    this.images = Array(this.kept).fill(image);
    this.found = Array(this.settings.span).fill(found);
    const result = await this.result(image);
    this.clear();
    return result;
  }

  async detect(image) {
    const found = await this.find(image);
    if (found) {
      [this.last, this.lost] = [found, 0];
    } else if (this.last && ++this.lost > PATIENCE) {
      [this.last, this.lost, this.scores] = [null, 0, []];
      this.found.fill(null);
    }
  }

  async find(image) {
    if (!this.faces) return oval(image);
    return findFace(ort, this.faces, image, this.settings.longest_side);
  }

  async result(image) {
    const [box, eyes] = this.medianFace();
    if (!box || !usable(box, image)) return { box: null, score: null, mean: null, verdict: null };
    let score = null;
    if (this.images.length === this.kept) {
      const roll = this.settings.align ? rollOf(eyes) : 0;
      score = await this.score(square(box, this.settings.margin), roll);
      this.scores.push(score);
      if (this.scores.length > SMOOTH) this.scores.shift();
    }
    const mean = this.scores.length
      ? this.scores.reduce((sum, value) => sum + value, 0) / this.scores.length : null;
    return { box, score, mean, verdict: this.verdict(mean) };
  }

  /** Median box and eyes of the first, middle and last frame of the window. */
  medianFace() {
    const held = this.window(this.found);
    const picks = new Set([0, Math.floor(held.length / 2), held.length - 1]);
    const found = [...picks].map((i) => held[i]).filter((face) => face);
    if (!found.length) return [null, null];
    const face = found[0].map((_, at) => {
      const ordered = found.map((one) => one[at]).sort((a, b) => a - b);
      const count = ordered.length;
      return (ordered[(count - 1) >> 1] + ordered[count >> 1]) / 2;
    });
    return [face.slice(0, 4), face.slice(4)];
  }

  /** Every `interval`-th value, the last one included. */
  window(values) {
    const { interval } = this.settings;
    return values.filter((_, i) => (values.length - 1 - i) % interval === 0);
  }

  async score(where, roll = 0) {
    const { frames, image_size: size } = this.settings;
    const pixels = new Uint8Array(frames * size * size * 3);
    const images = this.window(this.images);
    let [last, part] = [null, null];
    images.forEach((image, i) => {
      if (image !== last) [last, part] = [image, crop(image, where, size, roll)];
      pixels.set(part, i * part.length);
    });
    const input = new ort.Tensor("uint8", pixels, [1, frames, size, size, 3]);
    const { score } = await this.program.run({ frames: input }, ["score"]);
    return score.data[0];
  }

  verdict(score) {
    const { threshold } = this.settings;
    if (score === null || threshold === null) return null;
    return score >= threshold ? "live" : "spoof";
  }
}

/** Box of the oval in which the face is held. */
export function oval({ width, height }) {
  const [wide, high] = OVAL.map((part) => part * Math.min(height, width * 1.2));
  return [(width - wide) / 2, (height - high) / 2, wide, high];
}

function usable([x, y, width, height], image) {
  const [right, down] = [x + width / 2, y + height / 2];
  return Math.min(width, height) >= SMALLEST && right >= 0 && right < image.width
    && down >= 0 && down < image.height;
}
