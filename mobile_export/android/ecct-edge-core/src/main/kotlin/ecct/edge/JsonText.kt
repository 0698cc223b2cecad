package ecct.edge

/**
 * JSON as Python's `json.dumps(value, sort_keys=True)` writes it: what a hash is taken of must
 * be the same text on both sides. Whole numbers are written as such.
 */
internal fun jsonText(value: Any?): String =
    when (value) {
        null, is Boolean -> value.toString()
        is Double -> if (value % 1.0 == 0.0) value.toLong().toString() else value.toString()
        is String -> quoted(value)
        is List<*> -> value.joinToString(", ", "[", "]", transform = ::jsonText)
        is Map<*, *> ->
            value.entries
                .sortedBy { it.key.toString() }
                .joinToString(", ", "{", "}") { (name, part) -> "${quoted(name.toString())}: ${jsonText(part)}" }
        else -> throw JsonException("expected a value of JSON, got ${value::class.simpleName}")
    }

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
