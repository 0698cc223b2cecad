/** Bodies of answers, which are read no further than they may be long. */
import {concatenated} from './bytes.js';

/** Of what is no model: receipts, downlinks, JSON. */
export const MOST_BYTES = 16 * 2 ** 20;

/**
 * The body of an answer, which the browser decompresses; null for one that becomes longer, of which nothing more is read.
 *
 * @param {Response} answer
 * @param {number} most bytes that it may have
 */
export async function atMost(answer, most) {
  const parts = [];
  let size = 0;
  const reader = answer.body?.getReader();
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    parts.push(part.value);
    size += part.value.length;
    if (size > most) {
      await reader?.cancel();
      return null;
    }
  }
  return concatenated(parts);
}
