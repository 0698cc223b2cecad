package ecct.edge

/**
 * What the rows of a table mean: row 0 is unknown or padding.
 *
 * @property values the values of rows 1, 2, …
 */
public class Vocabulary(public val values: List<String>) {
    private val rows: Map<String, Int> =
        HashMap<String, Int>(values.size * 2).apply {
            this@Vocabulary.values.forEachIndexed { index, value -> putIfAbsent(value, index + 1) }
        }

    /** The number of rows, row 0 included. */
    public val size: Int get() = values.size + 1

    /** The row of [value]; 0 for one that the vocabulary does not have, and for null. */
    public fun row(value: String?): Int = rows[value] ?: 0

    /** The value of [row], or null for row 0 and for one that does not exist. */
    public fun value(row: Int): String? = values.getOrNull(row - 1)

    internal companion object {
        /**
         * Reads one value a line; the first line is row 0.
         *
         * Only line feeds end a line: a value may hold any other separator of Unicode.
         */
        fun parse(text: String, name: String, rows: Int): Vocabulary {
            val lines = text.removeSuffix("\n").split('\n')
            if (lines.size != rows) {
                throw ModelFileException(
                    "$name: expected $rows lines, one a row, got ${lines.size}; export the file again",
                )
            }
            return Vocabulary(lines.drop(1))
        }
    }
}
