/** What a model reads of the time, as `clock_reading` of `ecct_tf.data.clock` makes it. */
import {InputError} from './errors.js';

/** What a reading begins with: known, session, hour and weekday as sine and cosine. */
export const CLOCK_CONTEXT = 6;

/** Stands for a time that nobody knows. */
export const UNKNOWN_TIME = 0;

/** Seconds since 1970 from which a number is a time. */
const EARLIEST_SECONDS = 365 * 86_400;
/** Seconds without an interaction that end a session. */
const SESSION_GAP_SECONDS = 30 * 60;
const HOUR_SECONDS = 3_600;
const DAY_SECONDS = 86_400;
const WEEK_SECONDS = 7 * DAY_SECONDS;
// 1970-01-01 was a Thursday; weeks begin on Monday.
const FIRST_MONDAY_SECONDS = 4 * DAY_SECONDS;
const WAY_OUT = 'give whole seconds since 1970, or null where the time is unknown';

/**
 * Zeros, a silent clock, where `now` or one of the newest times is unknown or before 1971.
 *
 * @param {readonly number[]} times seconds since 1970 of the interactions, oldest first
 * @param {number} now second of the request
 * @param {number} length L, slots of the history
 * @param {number} [end] how many of the interactions came before the request
 * @returns {Float32Array} `[6 + L] float32`
 */
export function clockReading(times, now, length, end = times.length) {
  const reading = new Float32Array(CLOCK_CONTEXT + length);
  const newest = times.slice(Math.max(0, end - length), end);
  if (now < EARLIEST_SECONDS || newest.some((time) => time < EARLIEST_SECONDS)) return reading;
  const day = 2 * Math.PI * ((now % DAY_SECONDS) / DAY_SECONDS);
  const sinceMonday = (((now - FIRST_MONDAY_SECONDS) % WEEK_SECONDS) + WEEK_SECONDS) % WEEK_SECONDS;
  const week = 2 * Math.PI * (sinceMonday / WEEK_SECONDS);
  reading.set([
    1, Math.log1p(sessionPosition(newest, now)), Math.sin(day), Math.cos(day), Math.sin(week), Math.cos(week),
  ]);
  if (newest.length > 0) {
    // A clock that was set back makes no pause negative.
    const hours = newest.map((time) => Math.max(now - time, 0) / HOUR_SECONDS);
    reading.fill(hours[0], CLOCK_CONTEXT);
    reading.set(hours, reading.length - hours.length);
  }
  return reading;
}

/**
 * How many of the newest interactions came after the last long pause.
 *
 * @param {readonly number[]} newest
 * @param {number} now
 */
function sessionPosition(newest, now) {
  let later = now;
  for (let place = newest.length - 1; place >= 0; place--) {
    if (later - newest[place] > SESSION_GAP_SECONDS) return newest.length - 1 - place;
    later = newest[place];
  }
  return newest.length;
}

/**
 * Checks times that an app gave, and puts `UNKNOWN_TIME` in the place of null.
 *
 * @param {readonly (number | null)[] | null | undefined} times
 * @param {number} count
 * @param {number} latest second after which none can be
 * @throws {InputError} when there is not one for each of `count`, or one cannot be.
 */
export function interactionTimes(times, count, latest) {
  if (times === null || times === undefined) return Array(count).fill(UNKNOWN_TIME);
  if (times.length !== count) {
    throw new InputError(`times: expected one for each of ${count} interactions, got ${times.length}; ${WAY_OUT}`);
  }
  return times.map((time, place) => possible(time ?? UNKNOWN_TIME, `times: interaction ${place}`, latest));
}

/**
 * @param {number} time
 * @param {string} what
 * @param {number} latest
 * @throws {InputError} when it is no whole number of seconds, negative or later than `latest`.
 */
export function possible(time, what, latest) {
  if (!Number.isSafeInteger(time) || time < 0) {
    throw new InputError(`${what}: expected seconds from 0, got ${time}; ${WAY_OUT}`);
  }
  if (time > latest) {
    throw new InputError(
      `${what}: expected a time up to ${latest}, a day from now by this device's clock, got ${time}; are these ` +
        `milliseconds? Otherwise ${WAY_OUT}`,
    );
  }
  return time;
}

/** The last second that can be, a day from `now`; any where the clock was never set. @param {number} now */
export const latestTime = (now) => (now >= EARLIEST_SECONDS ? now + DAY_SECONDS : Number.MAX_SAFE_INTEGER);
