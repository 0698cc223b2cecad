import {ModelFileError} from './errors.js';

/** What the rows of a table mean: row 0 is unknown or padding. */
export class Vocabulary {
  /** @type {Map<string, number>} */
  #rows = new Map();

  /** @param {string[]} values of rows 1, 2, … */
  constructor(values) {
    this.values = values;
    values.forEach((value, index) => {
      if (!this.#rows.has(value)) this.#rows.set(value, index + 1);
    });
  }

  /** The row of `value`; 0 for one that there is not. @param {string | undefined} value */
  row(value) {
    return value === undefined ? 0 : (this.#rows.get(value) ?? 0);
  }

  /** The value of `row`, or null for row 0 and for one that does not exist. @param {number} row */
  value(row) {
    return this.values[row - 1] ?? null;
  }

  /**
   * Reads one value a line; the first line is row 0. Only line feeds end a line: a value may hold
   * any other separator of Unicode.
   *
   * @param {string} text
   * @param {string} name
   * @param {number} rows
   */
  static parse(text, name, rows) {
    const lines = text.replace(/\n$/, '').split('\n');
    if (lines.length !== rows) {
      throw new ModelFileError(
        `${name}: expected ${rows} lines, one a row, got ${lines.length}; export the file again`,
      );
    }
    return new Vocabulary(lines.slice(1));
  }
}
