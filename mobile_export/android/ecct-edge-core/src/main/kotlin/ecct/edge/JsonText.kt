package ecct.edge

import java.math.BigDecimal
import java.math.MathContext
import java.math.RoundingMode

/**
 * JSON as Python's `json.dumps(value, sort_keys=True)` writes it: what a hash is taken of must
 * be the same text on both sides. Whole numbers are written as such.
 *
 * @param comma between the parts of a list.
 */
internal fun jsonText(value: Any?, comma: String = ", "): String =
    when (value) {
        null, is Boolean -> value.toString()
        is Double -> if (value % 1.0 == 0.0) value.toLong().toString() else pythonFloat(value)
        is String -> quoted(value)
        is List<*> -> value.joinToString(comma, "[", "]") { jsonText(it, comma) }
        is Map<*, *> ->
            value.entries
                .sortedBy { it.key.toString() }
                .joinToString(", ", "{", "}") { (name, part) -> "${quoted(name.toString())}: ${jsonText(part)}" }
        else -> throw JsonException("expected a value of JSON, got ${value::class.simpleName}")
    }

/**
 * A float as Python's `repr` writes it: the fewest digits that are read as the same number, which
 * `toString` does not find on every runtime, and `5e-05` where that has `5.0E-5`.
 */
internal fun pythonFloat(value: Double): String {
    if (!value.isFinite()) throw JsonException("expected a finite number, got $value")
    val size = Math.abs(value)
    val sign = if (value < 0 || (size == 0.0 && 1 / value < 0)) "-" else ""
    val shortest = shortest(size)
    if (size == 0.0 || size in SMALLEST_PLAIN..<LARGEST_PLAIN) {
        val text = shortest.toPlainString()
        return if ('.' in text) "$sign$text" else "$sign$text.0"
    }
    val digits = shortest.unscaledValue().toString()
    val power = digits.length - shortest.scale() - 1
    val rest = if (digits.length > 1) ".${digits.drop(1)}" else ""
    return "$sign${digits.first()}${rest}e${if (power < 0) "-" else "+"}${"%02d".format(Math.abs(power))}"
}

private fun shortest(size: Double): BigDecimal {
    val exact = BigDecimal(size)
    // Of two texts as near, one may be read as a neighbour.
    val roundings = listOf(RoundingMode.HALF_EVEN, RoundingMode.UP, RoundingMode.DOWN)
    return (1..MOST_DIGITS)
        .flatMap { digits -> roundings.map { exact.round(MathContext(digits, it)) } }
        .first { it.toDouble() == size }
        .stripTrailingZeros()
}

// So many digits tell any two numbers apart.
private const val MOST_DIGITS = 17
private const val SMALLEST_PLAIN = 1e-4
private const val LARGEST_PLAIN = 1e16

private fun quoted(text: String): String =
    text.map(::escaped).joinToString("", "\"", "\"")

private fun escaped(character: Char): String =
    when (character) {
        '"' -> "\\\""
        '\\' -> "\\\\"
        '\n' -> "\\n"
        '\r' -> "\\r"
        '\t' -> "\\t"
        '\b' -> "\\b"
        '\u000c' -> "\\f"
        in ' '..'~' -> character.toString()
        else -> "\\u%04x".format(character.code)
    }
