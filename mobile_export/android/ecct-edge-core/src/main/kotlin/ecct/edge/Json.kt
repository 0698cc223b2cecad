package ecct.edge

/**
 * A JSON value: `Map<String, Any?>`, `List<Any?>`, `String`, `Double`, `Boolean` or null.
 *
 * The core has no dependency: Android brings `org.json`, the JVM does not, and a manifest and
 * a metadata file are all there is to read.
 */
internal class Json private constructor(private val text: String) {
    private var at = 0

    private fun document(): Any? {
        val found = value(depth = 0)
        blanks()
        if (at != text.length) fail("the end")
        return found
    }

    private fun value(depth: Int): Any? {
        if (depth > LARGEST_DEPTH) fail("at most $LARGEST_DEPTH levels")
        blanks()
        return when (peek()) {
            '{' -> members(depth)
            '[' -> elements(depth)
            '"' -> string()
            't' -> word("true", true)
            'f' -> word("false", false)
            'n' -> word("null", null)
            else -> number()
        }
    }

    private fun members(depth: Int): Map<String, Any?> {
        val found = LinkedHashMap<String, Any?>()
        take('{')
        if (closes('}')) return found
        do {
            blanks()
            val name = string()
            blanks()
            take(':')
            found[name] = value(depth + 1)
        } while (continues('}'))
        return found
    }

    private fun elements(depth: Int): List<Any?> {
        val found = ArrayList<Any?>()
        take('[')
        if (closes(']')) return found
        do found += value(depth + 1) while (continues(']'))
        return found
    }

    private fun string(): String {
        take('"')
        val found = StringBuilder()
        while (true) {
            val character = next()
            when {
                character == '"' -> return found.toString()
                character == '\\' -> found.append(escaped())
                character < ' ' -> fail("an escaped control character")
                else -> found.append(character)
            }
        }
    }

    private fun escaped(): Char =
        when (val character = next()) {
            '"', '\\', '/' -> character
            'b' -> '\b'
            'f' -> '\u000C'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> {
                val digits = text.substring(at, minOf(at + 4, text.length))
                if (!HEXADECIMAL.matches(digits)) fail("four hexadecimal digits")
                at += 4
                digits.toInt(16).toChar()
            }
            else -> fail("an escape of JSON")
        }

    private fun number(): Double {
        val found = NUMBER.matchAt(text, at) ?: fail("a value")
        at += found.value.length
        return found.value.toDouble()
    }

    private fun <T> word(word: String, meaning: T): T {
        if (!text.startsWith(word, at)) fail("a value")
        at += word.length
        return meaning
    }

    private fun closes(bracket: Char): Boolean {
        blanks()
        return (peek() == bracket).also { if (it) at++ }
    }

    private fun continues(bracket: Char): Boolean {
        blanks()
        return when (next()) {
            ',' -> true
            bracket -> false
            else -> fail("',' or '$bracket'")
        }
    }

    private fun take(expected: Char) {
        if (next() != expected) fail("'$expected'")
    }

    private fun next(): Char {
        if (at >= text.length) fail("more text")
        return text[at++]
    }

    private fun peek(): Char = if (at < text.length) text[at] else fail("more text")

    private fun blanks() {
        while (at < text.length && text[at] in BLANKS) at++
    }

    private fun fail(expected: String): Nothing =
        throw JsonException("JSON: expected $expected at character $at of ${text.length}")

    companion object {
        private const val LARGEST_DEPTH = 64
        private const val BLANKS = " \t\r\n"
        private val HEXADECIMAL = Regex("[0-9a-fA-F]{4}")
        private val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")

        /** Reads one value; throws [JsonException] where it is none. */
        fun parse(text: String): Any? = Json(text).document()
    }
}
