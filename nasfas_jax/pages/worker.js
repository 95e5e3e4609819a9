// The scorer, beside the page. Messages {id, method, given} are answered one after the other.
import { Scorer } from "./scorer.js";

const loading = Scorer.load();
let before = Promise.resolve();

onmessage = ({ data }) => {
  before = before.then(() => answer(data));
};

async function answer({ id, method, given }) {
  try {
    const scorer = await loading;
    postMessage({ id, value: await scorer[method](...given) });
  } catch (error) {
    postMessage({ id, error: error.message });
  }
}
