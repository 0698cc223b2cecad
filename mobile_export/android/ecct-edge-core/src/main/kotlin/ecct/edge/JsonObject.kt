package ecct.edge

/** The text is no JSON, or lacks what was asked of it. The caller says which file it was. */
internal class JsonException(message: String) : Exception(message)

/** An object of a JSON document, which knows its place in it for the messages. */
internal class JsonObject(
    private val members: Map<*, *>,
    private val place: String,
) {
    val names: List<String> get() = members.keys.map { it.toString() }

    fun has(name: String): Boolean = members[name] != null

    fun value(name: String): Any? = members[name]

    fun text(name: String): String = typed(name, "a string")

    fun textOrNull(name: String): String? = if (has(name)) text(name) else null

    fun flag(name: String): Boolean = typed(name, "true or false")

    fun number(name: String): Double =
        typed<Double>(name, "a number").also { if (!it.isFinite()) fail("$place.$name", "a finite number", it) }

    fun count(name: String): Int = whole(number(name), "$place.$name")

    fun child(name: String): JsonObject = JsonObject(typed<Map<*, *>>(name, "an object"), "$place.$name")

    fun list(name: String): List<Any?> = typed(name, "a list")

    fun children(name: String): List<JsonObject> =
        list(name).mapIndexed { index, entry ->
            JsonObject(
                entry as? Map<*, *> ?: fail("$place.$name[$index]", "an object", entry),
                "$place.$name[$index]",
            )
        }

    /** Extents of a shape; null where the caller decides. */
    fun shape(name: String): List<Int?> =
        list(name).map { extent ->
            when (extent) {
                null -> null
                is Double -> whole(extent, "$place.$name")
                else -> fail("$place.$name", "numbers", extent)
            }
        }

    private inline fun <reified T> typed(name: String, expected: String): T =
        members[name] as? T ?: fail("$place.$name", expected, members[name])

    private fun whole(value: Double, where: String): Int =
        if (value in 0.0..Int.MAX_VALUE.toDouble() && value % 1.0 == 0.0) {
            value.toInt()
        } else {
            fail(where, "a whole number that is not negative", value)
        }

    private fun fail(where: String, expected: String, received: Any?): Nothing =
        throw JsonException("$where: expected $expected, got ${plain(received) ?: "nothing"}")

    companion object {
        /** Reads a document that is an object. */
        fun parse(text: String, place: String): JsonObject =
            JsonObject(
                Json.parse(text) as? Map<*, *> ?: throw JsonException("$place: expected an object"),
                place,
            )
    }
}

/** A whole number as people write it, anything else as it is. */
internal fun plain(value: Any?): Any? =
    if (value is Double && value % 1.0 == 0.0 && value in -LARGEST_PLAIN..LARGEST_PLAIN) value.toLong() else value

private const val LARGEST_PLAIN = 9e15
