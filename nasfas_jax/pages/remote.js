// The scorer in a worker: the page reacts and draws while the worker computes.

export class Remote {
  constructor() {
    Object.assign(this, { count: 0, answers: new Map() });
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.answer(data);
    this.worker.onerror = () => {
      const error = "the worker cannot be started";
      for (const id of this.answers.keys()) this.answer({ id, error });
    };
  }

  /** Result of a method of the scorer; images lose their pixels, which are moved. */
  call(method, ...images) {
    const given = images.map(({ data, width, height }) => ({ data, width, height }));
    const id = this.count++;
    return new Promise((done, fail) => {
      this.answers.set(id, { done, fail });
      this.worker.postMessage({ id, method, given }, given.map(({ data }) => data.buffer));
    });
  }

  answer({ id, value, error }) {
    const { done, fail } = this.answers.get(id);
    this.answers.delete(id);
    if (error === undefined) done(value);
    else fail(new Error(error));
  }
}
